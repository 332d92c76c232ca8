"""SE-ResNet-50 on ImageNet.

    python tools/train.py configs/attention/se_resnet50_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 76.71 / 93.38 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.SqueezeExcite')))
