"""FcaNet-50 on CIFAR-10, a row of EMANet's comparison: 26,035,786 parameters, 95.49 % published.

    python tools/train.py configs/attention/fca_resnet50_cifar10.py

Maps are pooled, on CIFAR enlarged, to the grids of ImageNet before the cosine transform, as the authors
do; grid=None transforms the maps themselves. The recipe of emanet50_cifar10.py; the published number is
the best test accuracy over all epochs. Not trained yet.
"""

_base_ = './resnet50_cifar10.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='FrequencyChannelAttention', grid=56),
            dict(type='FrequencyChannelAttention', grid=28),
            dict(type='FrequencyChannelAttention', grid=14),
            dict(type='FrequencyChannelAttention', grid=7),
        ]
    )
)
