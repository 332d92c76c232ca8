"""The "balanced" nano ViT of the current FashionMNIST table: 4 heads, 81,546 parameters, 84.90 % published.

    python tools/train.py configs/diff_vit/vit_nano_p4_balanced_fashion_mnist.py

About 30 minutes on two CPU cores.
"""

_base_ = './vit_nano_p4_fashion_mnist.py'

model = dict(backbone=dict(num_heads=4))
