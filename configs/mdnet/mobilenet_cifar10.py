"""MobileNet for small images on CIFAR-10: 3,223,178 parameters.

    python tools/train.py configs/mdnet/mobilenet_cifar10.py

Source: MDNet (Gaojinghan1/MDNET), a baseline in its code.
Reproduces: no published number.

The recipe, for CIFAR-10 our choice, of mdnet_cifar10.py.
"""

_base_ = './mdnet_cifar10.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.MDMobileNet'))
