"""EPSANet-50 on CIFAR-10, a row of EMANet's comparison: 20,525,525 parameters, 95.32 % published.

    python tools/train.py configs/attention/epsanet50_cifar10.py

The authors' file has 1000 classes, the table's count of parameters is that of 10. The recipe of
emanet50_cifar10.py; the published number is the best test accuracy over all epochs. Not trained yet.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(conv2=dict(type='PyramidSplitAttention')))
