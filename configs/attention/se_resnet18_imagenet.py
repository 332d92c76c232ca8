"""SE-ResNet-18 on ImageNet, a row of LMA's table: 70.59 / 89.78 % top-1 / top-5 published.

    python tools/train.py configs/attention/se_resnet18_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(attention=dict(type='SqueezeExcite')))
