"""A plain ViT in Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/diff_vit/vit_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = './diff_vit_faster_rcnn_voc.py'

model = dict(backbone=dict(attention='self', head_norm=False))
