"""The "balanced" plain ViT of the former CIFAR-10 configuration: width 330.

    python tools/train.py configs/diff_vit/vit_nano_balanced_cifar10.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), its configuration of CIFAR-10 until 2024-11-23.
Reproduces: no published number.

As vit_nano_cifar10.py, with 2,655,176 parameters.
"""

_base_ = './vit_nano_cifar10.py'

model = dict(backbone=dict(embed_dim=330))
