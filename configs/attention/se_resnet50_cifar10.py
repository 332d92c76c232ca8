"""SE-ResNet-50 on CIFAR-10, a row of EMANet's comparison: 26,035,786 parameters, 95.35 % published.

    python tools/train.py configs/attention/se_resnet50_cifar10.py

The authors' file has the ImageNet stem, the table's count of parameters is that of the CIFAR stem, used
here. The recipe of emanet50_cifar10.py; the published number is the best test accuracy over all epochs.
Not trained yet.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(attention=dict(type='SqueezeExcite')))
