"""ResNet-50 on CIFAR-10: 23,520,842 parameters.

    python tools/train.py configs/attention/resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 93.62 % top-1, the best of all epochs on the test images.

The recipe of emanet50_cifar10.py, as in the table, with a plain 3x3 stem at stride 1.
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
