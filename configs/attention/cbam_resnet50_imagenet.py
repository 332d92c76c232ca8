"""CBAM-ResNet-50 on ImageNet, a row of LMA's table: 77.34 / 93.69 % top-1 / top-5 published.

    python tools/train.py configs/attention/cbam_resnet50_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(attention=dict(type='CBAM')))
