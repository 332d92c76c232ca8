"""SE-ResNet-50 on CIFAR-10: 26,035,786 parameters.

    python tools/train.py configs/attention/se_resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 95.35 % top-1, the best of all epochs on the test images.

The authors' file has the ImageNet stem, the table's count of parameters is that of the CIFAR stem, used
here. The recipe of emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(attention=dict(type='mdvision.SqueezeExcite')))
