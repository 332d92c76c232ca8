"""LMA-ResNet-50 RetinaNet on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/lma/lma_resnet50_retinanet_voc.py

Source: ours, MMDetection's RetinaNet with its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../_base_/detectors/retinanet_voc.py'

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
