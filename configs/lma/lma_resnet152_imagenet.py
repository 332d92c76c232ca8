"""LMA-ResNet-152 on ImageNet: 60,193,320 parameters.

    python tools/train.py configs/lma/lma_resnet152_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), its code; the table ends at ResNet-50.
Reproduces: no published number.

The recipe of lma_resnet18_imagenet.py.
"""

_base_ = './lma_resnet50_imagenet.py'

model = dict(backbone=dict(depth=152))
