"""The differential nano ViT of the first MNIST table: legacy attention, 38,106 parameters, 95.75 % published.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_mnist.py

About 5 minutes on two CPU cores. Our numbers: docs/reproduce.md.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(attention='legacy'))
