"""SE-ResNet-50 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/attention/se_resnet50_faster_rcnn_voc.py

From scratch; --backbone-from CHECKPOINT starts it with a classifier of ours.
Not trained yet.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.AttentionResNet',
        depth=50,
        stem='imagenet',
        attention=dict(type='SqueezeExcite'),
        out_indices=(0, 1, 2, 3),
    )
)
