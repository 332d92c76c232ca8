"""DEMS-ViT-Ti as a pyramid in Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/dems_vit/dems_vit_tiny_faster_rcnn_voc.py

Its four patch sizes are the four maps, with attention in windows of regions.
From scratch; --backbone-from CHECKPOINT starts it with a classifier of ours.
Not trained yet.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(_delete_=True, type='mdvision.DEMSViTPyramid', embed_dim=192, num_heads=3, patch_size=4)
)
