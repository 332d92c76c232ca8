"""FcaNet-50 on ImageNet, no row of LMA's table; its recipe.

    python tools/train.py configs/attention/fca_resnet50_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='FrequencyChannelAttention', grid=56),
            dict(type='FrequencyChannelAttention', grid=28),
            dict(type='FrequencyChannelAttention', grid=14),
            dict(type='FrequencyChannelAttention', grid=7),
        ]
    )
)
