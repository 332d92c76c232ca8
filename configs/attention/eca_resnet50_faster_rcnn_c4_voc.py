"""ECA-ResNet-50 Faster R-CNN in the C4 wiring of EMANet's authors.

    python tools/train.py configs/attention/eca_resnet50_faster_rcnn_c4_voc.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of PASCAL VOC 2007.
Reproduces: AP 48.4 / AP50 81 / AP75 50.9, the split is not stated.

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = [dict(type='mdvision.EfficientChannelAttention', kernel_size=size) for size in (3, 5, 5, 7)]
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
