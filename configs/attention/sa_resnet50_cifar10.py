"""SA-Net-50 on CIFAR-10: 23,521,550 parameters.

    python tools/train.py configs/attention/sa_resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 93.79 % top-1, the best of all epochs on the test images.

The recipe of emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(attention=dict(type='mdvision.ShuffleAttention')))
