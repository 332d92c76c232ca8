"""ECA-ResNet-50 Faster R-CNN in the C4 wiring of EMANet's authors, a row of their table on PASCAL VOC.

    python tools/train.py configs/attention/eca_resnet50_faster_rcnn_c4_voc.py

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
The paper reports AP 48.4 / AP50 81 / AP75 50.9.
Not trained yet.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = [dict(type='EfficientChannelAttention', kernel_size=size) for size in (3, 5, 5, 7)]
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
