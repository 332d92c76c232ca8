"""MobileNet for small images on CIFAR-100: 3,315,428 parameters. No number is published.

    python tools/train.py configs/mdnet/mobilenet_cifar100.py

This is the other baseline in MDNet's code. The recipe of mdnet_cifar100.py. Not trained yet.
"""

_base_ = './mdnet_cifar100.py'

model = dict(
    backbone=dict(_delete_=True, type='mdvision.CIFARMobileNet'),
    head=dict(in_channels=1024),
)
