"""MobileNetV2, without MDNet's block, in Faster R-CNN with FPN on PASCAL VOC 2007 + 2012.

    python tools/train.py configs/mdnet/mobilenet_v2_cifar_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = './mdnet_faster_rcnn_voc.py'

model = dict(backbone=dict(type='mdvision.MDMobileNetV2'))
