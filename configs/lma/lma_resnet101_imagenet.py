"""LMA-ResNet-101 on ImageNet: 44,549,502 parameters, no number is published.

    python tools/train.py configs/lma/lma_resnet101_imagenet.py

The recipe of lma_resnet18_imagenet.py. Not trained yet.
"""

_base_ = './lma_resnet50_imagenet.py'

model = dict(backbone=dict(depth=101))
