"""LMA-ResNet-34 on ImageNet: 21,797,804 parameters, 74.62 / 92.16 % top-1 / top-5 published.

    python tools/train.py configs/lma/lma_resnet34_imagenet.py

The recipe of lma_resnet18_imagenet.py. Not trained yet.
"""

_base_ = './lma_resnet18_imagenet.py'

model = dict(backbone=dict(depth=34))
