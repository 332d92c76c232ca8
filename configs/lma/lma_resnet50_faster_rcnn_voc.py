"""LMA-ResNet-50 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/lma/lma_resnet50_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../attention/resnet50_faster_rcnn_voc.py'

model = dict(backbone=dict(attention=dict(type='mdvision.LightweightMixedDomainAttention')))
