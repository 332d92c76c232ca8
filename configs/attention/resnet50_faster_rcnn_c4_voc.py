"""ResNet-50 Faster R-CNN in the C4 wiring of EMANet's authors.

    python tools/train.py configs/attention/resnet50_faster_rcnn_c4_voc.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of PASCAL VOC 2007.
Reproduces: AP 45.7 / AP50 78.3 / AP75 47.8, the split is not stated.

As ../emanet/faster_rcnn_c4_voc.py with another backbone.
"""

_base_ = '../emanet/faster_rcnn_c4_voc.py'

_stages = dict(type='mdvision.AttentionResNet', depth=50, stem='imagenet')
model = dict(
    backbone=dict(_delete_=True, num_stages=3, out_indices=(2,), **_stages),
    roi_head=dict(shared_head=dict(backbone=dict(_delete_=True, **_stages))),
)
