"""FcaNet-50 on CIFAR-10: 26,035,786 parameters.

    python tools/train.py configs/attention/fca_resnet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 95.49 % top-1, the best of all epochs on the test images.

Feature maps are pooled, on CIFAR enlarged, to the grids of ImageNet before the cosine transform, as the
authors do; grid=None transforms the feature maps themselves. The recipe of emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(
    backbone=dict(
        attention=[
            dict(type='mdvision.FrequencyChannelAttention', grid=56),
            dict(type='mdvision.FrequencyChannelAttention', grid=28),
            dict(type='mdvision.FrequencyChannelAttention', grid=14),
            dict(type='mdvision.FrequencyChannelAttention', grid=7),
        ]
    )
)
