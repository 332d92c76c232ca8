"""CBAM-ResNet-50 on CIFAR-10, a row of EMANet's comparison: 26,037,354 parameters, 93.43 % published.

    python tools/train.py configs/attention/cbam_resnet50_cifar10.py

The recipe of emanet50_cifar10.py; the published number is the best test accuracy over all epochs. Not
trained yet.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(attention=dict(type='CBAM')))
