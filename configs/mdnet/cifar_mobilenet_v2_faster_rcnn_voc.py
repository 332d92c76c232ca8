"""MobileNetV2, without MDNet's block, in Faster R-CNN with FPN on PASCAL VOC 2007 + 2012.

    python tools/train.py configs/mdnet/cifar_mobilenet_v2_faster_rcnn_voc.py

From scratch; --backbone-from CHECKPOINT starts it with a classifier of ours.
Not trained yet.
"""

_base_ = './mdnet_faster_rcnn_voc.py'

model = dict(backbone=dict(type='mdvision.CIFARMobileNetV2'))
