"""SE-ResNet-34 on ImageNet.

    python tools/train.py configs/attention/se_resnet34_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 73.87 / 91.65 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet34_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.SqueezeExcite')))
