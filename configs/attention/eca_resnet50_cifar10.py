"""ECA-Net-50 on CIFAR-10: 23,520,922 parameters.

    python tools/train.py configs/attention/eca_resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 95.35 % top-1, the best of all epochs on the test images.

The recipe of emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='mdvision.EfficientChannelAttention', kernel_size=3),
            dict(type='mdvision.EfficientChannelAttention', kernel_size=5),
            dict(type='mdvision.EfficientChannelAttention', kernel_size=5),
            dict(type='mdvision.EfficientChannelAttention', kernel_size=7),
        ]
    )
)
