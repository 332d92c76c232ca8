"""ResNet-50 on CIFAR-10, the baseline of EMANet's comparison: 23,520,842 parameters, 93.62 % published.

    python tools/train.py configs/attention/resnet50_cifar10.py

The recipe of emanet50_cifar10.py, as in the table, with a plain 3x3 stem at stride 1. The published
number is the best test accuracy over all epochs. Not trained yet.
"""

_base_ = '../emanet/emanet50_cifar10.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.AttentionResNet',
        depth=50,
        stem='cifar',
        conv_init='default',  # the authors' file has no initialisation of its own
    )
)
