"""DEMS-ViT-Ti as a pyramid in Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/dems_vit/dems_vit_tiny_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.

Its four patch sizes are the four feature maps, with attention in windows of regions.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(_delete_=True, type='mdvision.DEMSViTPyramid', embed_dim=192, num_heads=3, patch_size=4)
)
