"""ECA-ResNet-50 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/attention/eca_resnet50_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = './resnet50_faster_rcnn_voc.py'

_attention = [dict(type='mdvision.EfficientChannelAttention', kernel_size=size) for size in (3, 5, 5, 7)]
model = dict(backbone=dict(attention=_attention))
