"""ECA-Net-18 on ImageNet.

    python tools/train.py configs/attention/eca_resnet18_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 70.88 / 89.90 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet18_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.EfficientChannelAttention', kernel_size=3)))
