"""The differential nano ViT of the first FashionMNIST table: 38,106 parameters, 87.26 % published.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_fashion_mnist.py

The attention is the legacy form. About 8 minutes on two CPU cores.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(attention='legacy'))
