"""The differential nano ViT of the current FashionMNIST table: 98,186 parameters, 86.73 % published.

    python tools/train.py configs/diff_vit/diff_vit_nano_p4_fashion_mnist.py

About 40 minutes on two CPU cores.
"""

_base_ = './vit_nano_p4_fashion_mnist.py'

model = dict(backbone=dict(attention='differential'))
