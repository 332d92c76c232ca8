"""ECA-Net-18 on ImageNet, a row of LMA's table: 70.88 / 89.90 % top-1 / top-5 published.

    python tools/train.py configs/attention/eca_resnet18_imagenet.py

The recipe of resnet18_imagenet.py. Not trained yet.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(attention=dict(type='EfficientChannelAttention', kernel_size=3)))
