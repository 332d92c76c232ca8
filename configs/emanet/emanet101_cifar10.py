"""EMANet-101 on CIFAR-10 under the recipe of EMANet-50: 38,212,889 parameters. No number is published.

    python tools/train.py configs/emanet/emanet101_cifar10.py

Not trained yet.
"""

_base_ = './emanet50_cifar10.py'

model = dict(backbone=dict(depth=101))
