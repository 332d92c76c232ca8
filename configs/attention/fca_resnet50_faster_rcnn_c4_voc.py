"""FcaNet-50 Faster R-CNN in the C4 wiring of EMANet's authors, a row of their table on PASCAL VOC.

    python tools/train.py configs/attention/fca_resnet50_faster_rcnn_c4_voc.py

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
The paper reports AP 49.4 / AP50 82.3 / AP75 52.6.
Not trained yet.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = [dict(type='FrequencyChannelAttention', grid=grid) for grid in (56, 28, 14, 7)]
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
