"""The "balanced" plain ViT of the former CIFAR-10 configuration: width 330. No number is published.

    python tools/train.py configs/diff_vit/vit_nano_balanced_cifar10.py

As vit_nano_cifar10.py, with 2,655,176 parameters. Not trained yet.
"""

_base_ = './vit_nano_cifar10.py'

model = dict(backbone=dict(embed_dim=330), neck=dict(in_channels=330))
