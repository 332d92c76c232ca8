"""SE-ResNet-50 on ImageNet, a row of LMA's table: 76.71 / 93.38 % top-1 / top-5 published.

    python tools/train.py configs/attention/se_resnet50_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(attention=dict(type='SqueezeExcite')))
