"""LMA-ResNet-152 on ImageNet: 60,193,320 parameters, no number is published.

    python tools/train.py configs/lma/lma_resnet152_imagenet.py

The recipe of lma_resnet18_imagenet.py. Not trained yet.
"""

_base_ = './lma_resnet50_imagenet.py'

model = dict(backbone=dict(depth=152))
