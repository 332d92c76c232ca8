"""SE-ResNet-50 Faster R-CNN in the C4 wiring of EMANet's authors.

    python tools/train.py configs/attention/se_resnet50_faster_rcnn_c4_voc.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of PASCAL VOC 2007.
Reproduces: AP 48.1 / AP50 80.5 / AP75 50.3, the split is not stated.

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = dict(type='mdvision.SqueezeExcite')
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
