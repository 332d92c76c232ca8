"""MobileNetV2 for small images on CIFAR-100: 2,369,380 parameters. No number is published.

    python tools/train.py configs/mdnet/mobilenet_v2_cifar100.py

This is MDNet without its transformer block. The recipe of mdnet_cifar100.py. Not trained yet.
"""

_base_ = './mdnet_cifar100.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.CIFARMobileNetV2'))
