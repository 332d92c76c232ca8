"""Faster R-CNN with FPN for any backbone with maps: what is None here comes from the backbone and the data.

A config puts its backbone in the place of MMDetection's: model = dict(backbone=dict(_delete_=True, ...)).
"""

_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    type='mdvision.FasterRCNN',
    neck=dict(in_channels=None),
    rpn_head=dict(in_channels=None, anchor_generator=dict(strides=None)),
    roi_head=dict(
        bbox_roi_extractor=dict(type='mdvision.RoIExtractor', out_channels=None, featmap_strides=None),
        bbox_head=dict(in_channels=None, num_classes=None),
    ),
)
