"""EMANet-101 on CIFAR-10 under the recipe of EMANet-50: 38,212,889 parameters.

    python tools/train.py configs/emanet/emanet101_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), its code; the table has EMANet-50 only.
Reproduces: no published number.
"""

_base_ = './emanet50_cifar10.py'

model = dict(backbone=dict(depth=101))
