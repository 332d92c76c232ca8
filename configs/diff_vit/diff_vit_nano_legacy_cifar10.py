"""The differential ViT of the former CIFAR-10 configuration, legacy attention: 2,705,414 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_cifar10.py

As vit_nano_cifar10.py. No number is published. Not trained yet.
"""

_base_ = './vit_nano_cifar10.py'

model = dict(backbone=dict(attention='legacy'))
