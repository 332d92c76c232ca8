"""LMA-ResNet-50 on ImageNet: 25,557,204 parameters, 78.02 / 93.98 % top-1 / top-5 published.

    python tools/train.py configs/lma/lma_resnet50_imagenet.py

The recipe of lma_resnet18_imagenet.py. Not trained yet.
"""

_base_ = './lma_resnet18_imagenet.py'

model = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
