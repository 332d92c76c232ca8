"""CBAM-ResNet-34 on ImageNet, a row of LMA's table: 74.01 / 91.76 % top-1 / top-5 published.

    python tools/train.py configs/attention/cbam_resnet34_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet34_imagenet.py'

model = dict(backbone=dict(attention=dict(type='CBAM')))
