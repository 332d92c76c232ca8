"""MobileNetV2 for small images on CIFAR-10: 2,254,090 parameters. No number is published.

    python tools/train.py configs/mdnet/mobilenet_v2_cifar10.py

This is MDNet without its transformer block. The recipe, for CIFAR-10 our choice, of mdnet_cifar10.py.
Not trained yet.
"""

_base_ = './mdnet_cifar10.py'

model = dict(backbone=dict(_delete_=True, type='mdvision.CIFARMobileNetV2'))
