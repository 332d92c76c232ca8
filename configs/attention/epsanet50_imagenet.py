"""EPSANet-50 on ImageNet, no row of LMA's table; its recipe.

    python tools/train.py configs/attention/epsanet50_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(conv2=dict(type='PyramidSplitAttention')))
