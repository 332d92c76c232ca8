"""MobileNet for small images on CIFAR-10: 3,223,178 parameters. No number is published.

    python tools/train.py configs/mdnet/mobilenet_cifar10.py

This is the other baseline in MDNet's code. The recipe, for CIFAR-10 our choice, of mdnet_cifar10.py.
Not trained yet.
"""

_base_ = './mdnet_cifar10.py'

model = dict(
    backbone=dict(_delete_=True, type='mdvision.CIFARMobileNet'),
    head=dict(in_channels=1024),
)
