"""EMANet-50 RetinaNet on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/emanet/retinanet_voc.py

Source: ours, MMDetection's RetinaNet with its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../_base_/detectors/retinanet_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.EMANet',
        depth=50,
        stem='imagenet',
        groups='imagenet',
        out_indices=(0, 1, 2, 3),
    )
)
