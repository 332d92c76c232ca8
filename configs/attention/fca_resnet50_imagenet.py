"""FcaNet-50 on ImageNet.

    python tools/train.py configs/attention/fca_resnet50_imagenet.py

Source: ours, another network under the recipe of LMA's ImageNet rows.
Reproduces: no published number.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='mdvision.FrequencyChannelAttention', grid=56),
            dict(type='mdvision.FrequencyChannelAttention', grid=28),
            dict(type='mdvision.FrequencyChannelAttention', grid=14),
            dict(type='mdvision.FrequencyChannelAttention', grid=7),
        ]
    )
)
