"""LMA-MobileNetV2 on ImageNet: 3,505,008 parameters.

    python tools/train.py configs/lma/lma_mobilenet_v2_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 72.98 / 91.23 % top-1 / top-5.

The attention stands between the depthwise convolution and the projection of every block that expands.
The recipe of mobilenet_v2_imagenet.py, which is our choice.
"""

_base_ = './mobilenet_v2_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.LightweightMixedDomainAttention')))
