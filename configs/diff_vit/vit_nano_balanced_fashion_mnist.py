"""The "balanced" nano ViT of the first FashionMNIST table: width 48, 55,626 parameters, 86.79 % published.

    python tools/train.py configs/diff_vit/vit_nano_balanced_fashion_mnist.py

About 6 minutes on two CPU cores.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(embed_dim=48), neck=dict(in_channels=48))
