"""FcaNet-50 Faster R-CNN in the C4 wiring of EMANet's authors.

    python tools/train.py configs/attention/fca_resnet50_faster_rcnn_c4_voc.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of PASCAL VOC 2007.
Reproduces: AP 49.4 / AP50 82.3 / AP75 52.6, the split is not stated.

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = [dict(type='mdvision.FrequencyChannelAttention', grid=grid) for grid in (56, 28, 14, 7)]
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
