"""LMA-MobileNetV2 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/lma/lma_mobilenet_v2_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.AttentionMobileNetV2',
        attention=dict(type='mdvision.LightweightMixedDomainAttention'),
        out_indices=(1, 2, 4, 6),
    )
)
