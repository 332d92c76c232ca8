"""The "balanced" plain nano ViT of the first MNIST table: width 48, 55,626 parameters, 95.53 % published.

    python tools/train.py configs/diff_vit/vit_nano_balanced_mnist.py

About 4 minutes on two CPU cores. Our numbers: docs/reproduce.md.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(embed_dim=48), neck=dict(in_channels=48))
