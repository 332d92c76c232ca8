"""RetinaNet for any backbone with maps: what is None here comes from the backbone and the data.

A config puts its backbone in the place of MMDetection's: model = dict(backbone=dict(_delete_=True, ...)).
"""

_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    type='mdvision.RetinaNet',
    neck=dict(in_channels=None),
    bbox_head=dict(in_channels=None, num_classes=None, anchor_generator=dict(strides=None)),
)
