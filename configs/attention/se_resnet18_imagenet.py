"""SE-ResNet-18 on ImageNet.

    python tools/train.py configs/attention/se_resnet18_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 70.59 / 89.78 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.SqueezeExcite')))
