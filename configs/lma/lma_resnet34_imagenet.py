"""LMA-ResNet-34 on ImageNet: 21,797,804 parameters.

    python tools/train.py configs/lma/lma_resnet34_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 74.62 / 92.16 % top-1 / top-5.

The recipe of lma_resnet18_imagenet.py.
"""

_base_ = './lma_resnet18_imagenet.py'

model = dict(backbone=dict(depth=34))
