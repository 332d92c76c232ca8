"""EPSANet-50 on ImageNet.

    python tools/train.py configs/attention/epsanet50_imagenet.py

Source: ours, another network under the recipe of LMA's ImageNet rows.
Reproduces: no published number.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(conv2=dict(type='mdvision.PyramidSplitAttention')))
