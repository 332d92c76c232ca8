"""MobileNetV2 for small images on CIFAR-10: 2,254,090 parameters.

    python tools/train.py configs/mdnet/mobilenet_v2_cifar10.py

Source: MDNet (Gaojinghan1/MDNET), a baseline in its code.
Reproduces: no published number.

This is MDNet without its transformer block. The recipe, for CIFAR-10 our choice, of mdnet_cifar10.py.
"""

_base_ = './mdnet_cifar10.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.MDMobileNetV2'))
