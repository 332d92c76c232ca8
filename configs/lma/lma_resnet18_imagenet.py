"""LMA-ResNet-18 on ImageNet: 11,689,576 parameters.

    python tools/train.py configs/lma/lma_resnet18_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 71.43 / 90.18 % top-1 / top-5.

The attention stands at the end of every block. The published curves have 100 epochs with drops after
30, 60 and 90; batch size (256), learning rate (0.1), weight decay (1e-4) and augmentation (random
resized crop, flip) are our choice. The learning rate follows the effective batch size: on eight GPUs
train_dataloader.batch_size=32 keeps it.
"""

_base_ = '../attention/resnet18_imagenet.py'

model = dict(
    backbone=dict(attention=dict(type='mdvision.LightweightMixedDomainAttention')),
    head=dict(init_cfg=dict(_delete_=True, type='Normal', layer='Linear', std=0.01)),
)
