"""ECA-Net-50 on CIFAR-10, a row of EMANet's comparison: 23,520,922 parameters, 95.35 % published.

    python tools/train.py configs/attention/eca_resnet50_cifar10.py

The recipe of emanet50_cifar10.py; the published number is the best test accuracy over all epochs. Not
trained yet.
"""

_base_ = './resnet50_cifar10.py'

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
