"""MobileNetV2 for small images on CIFAR-100: 2,369,380 parameters.

    python tools/train.py configs/mdnet/mobilenet_v2_cifar100.py

Source: MDNet (Gaojinghan1/MDNET), a baseline in its code.
Reproduces: no published number.

This is MDNet without its transformer block. The recipe of mdnet_cifar100.py.
"""

_base_ = './mdnet_cifar100.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.MDMobileNetV2'))
