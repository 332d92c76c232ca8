"""CBAM-ResNet-34 on ImageNet.

    python tools/train.py configs/attention/cbam_resnet34_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 74.01 / 91.76 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet34_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.CBAM')))
