"""LMA-ResNet-50 Faster R-CNN with FPN on COCO 2017.

    python tools/train.py configs/lma/lma_resnet50_faster_rcnn_coco.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../_base_/detectors/faster_rcnn_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.AttentionResNet',
        depth=50,
        stem='imagenet',
        attention=dict(type='mdvision.LightweightMixedDomainAttention'),
        out_indices=(0, 1, 2, 3),
    )
)
