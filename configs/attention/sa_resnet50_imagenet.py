"""SA-Net-50 on ImageNet.

    python tools/train.py configs/attention/sa_resnet50_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 77.72 / 93.80 % top-1 / top-5.

The recipe of resnet18_imagenet.py.
"""

_base_ = './resnet50_imagenet.py'

model = dict(backbone=dict(attention=dict(type='mdvision.ShuffleAttention')))
