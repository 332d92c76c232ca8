"""MobileNet for small images on CIFAR-100: 3,315,428 parameters.

    python tools/train.py configs/mdnet/mobilenet_cifar100.py

Source: MDNet (Gaojinghan1/MDNET), a baseline in its code.
Reproduces: no published number.

The recipe of mdnet_cifar100.py.
"""

_base_ = './mdnet_cifar100.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.MDMobileNet'))
