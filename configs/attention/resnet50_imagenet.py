"""ResNet-50 on ImageNet.

    python tools/train.py configs/attention/resnet50_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 76.13 / 92.86 % top-1 / top-5.

The recipe of resnet18_imagenet.py. The published number is also that of torchvision's weights.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(depth=50))
