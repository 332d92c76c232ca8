"""ECA-Net-50 on ImageNet, a row of LMA's table: 77.40 / 93.61 % top-1 / top-5 published.

    python tools/train.py configs/attention/eca_resnet50_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet50_imagenet.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='EfficientChannelAttention', kernel_size=3),
            dict(type='EfficientChannelAttention', kernel_size=5),
            dict(type='EfficientChannelAttention', kernel_size=5),
            dict(type='EfficientChannelAttention', kernel_size=7),
        ]
    )
)
