"""ResNet-34 on ImageNet, the baseline of LMA's table: 73.31 / 91.42 % top-1 / top-5 published.

    python tools/train.py configs/attention/resnet34_imagenet.py

The recipe of resnet18_imagenet.py. The published number is also that of torchvision's weights. Not
trained yet.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(depth=34))
