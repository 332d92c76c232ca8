"""CBAM-ResNet-50 on CIFAR-10: 26,037,354 parameters.

    python tools/train.py configs/attention/cbam_resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 93.43 % top-1, the best of all epochs on the test images.

The recipe of emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(attention=dict(type='mdvision.CBAM')))
