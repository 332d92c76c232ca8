"""The differential ViT of the former CIFAR-10 configuration, legacy attention: 2,705,414 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_cifar10.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), its configuration of CIFAR-10 until 2024-11-23.
Reproduces: no published number.

As vit_nano_cifar10.py.
"""

_base_ = './vit_nano_cifar10.py'

model = dict(backbone=dict(attention='legacy'))
