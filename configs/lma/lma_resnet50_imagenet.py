"""LMA-ResNet-50 on ImageNet: 25,557,204 parameters.

    python tools/train.py configs/lma/lma_resnet50_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 78.02 / 93.98 % top-1 / top-5.

The recipe of lma_resnet18_imagenet.py.
"""

_base_ = './lma_resnet18_imagenet.py'

model = dict(backbone=dict(depth=50))
