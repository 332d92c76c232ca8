"""SE-ResNet-50 Faster R-CNN in the C4 wiring of EMANet's authors, a row of their table on PASCAL VOC.

    python tools/train.py configs/attention/se_resnet50_faster_rcnn_c4_voc.py

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
The paper reports AP 48.1 / AP50 80.5 / AP75 50.3.
Not trained yet.
"""

_base_ = './resnet50_faster_rcnn_c4_voc.py'

_attention = dict(type='SqueezeExcite')
model = dict(
    backbone=dict(attention=_attention),
    roi_head=dict(shared_head=dict(backbone=dict(attention=_attention))),
)
