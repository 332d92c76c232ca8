"""Faster R-CNN with FPN on COCO 2017, 12 epochs; a config of a backbone adds that backbone.

coco/bbox_mAP and its kin are MMDetection's, through pycocotools, and the numbers to quote: small, medium
and large go by the area of an object's mask there. coco/mAP_s, _m and _l of our own metric, which knows no
masks, go by that of its box; all other numbers agree.
"""

_base_ = ['../models/faster_rcnn_fpn.py', '../datasets/coco.py', './train_1x.py']

val_evaluator = [
    dict(type='mdvision.DetectionMetric', print_table=False),
    dict(
        type='CocoMetric',
        ann_file='data/coco/annotations/instances_val2017.json',
        metric='bbox',
        format_only=False,
    ),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/mAP'))
