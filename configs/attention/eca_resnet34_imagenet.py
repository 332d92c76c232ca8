"""ECA-Net-34 on ImageNet.

    python tools/train.py configs/attention/eca_resnet34_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 74.19 / 91.80 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet34_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.EfficientChannelAttention', kernel_size=3)))
