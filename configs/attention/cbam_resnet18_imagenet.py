"""CBAM-ResNet-18 on ImageNet.

    python tools/train.py configs/attention/cbam_resnet18_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 70.73 / 89.91 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.CBAM')))
