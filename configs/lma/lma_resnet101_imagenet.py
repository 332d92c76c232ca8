"""LMA-ResNet-101 on ImageNet: 44,549,502 parameters.

    python tools/train.py configs/lma/lma_resnet101_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), its code; the table ends at ResNet-50.
Reproduces: no published number.

The recipe of lma_resnet18_imagenet.py.
"""

_base_ = './lma_resnet50_imagenet.py'

model = dict(backbone=dict(depth=101))
