"""The differential nano ViT of the current MNIST table: 98,186 parameters, 96.03 % published.

    python tools/train.py configs/diff_vit/diff_vit_nano_p4_mnist.py

About 13 minutes on two CPU cores.
"""

_base_ = './vit_nano_p4_mnist.py'

model = dict(backbone=dict(attention='differential'))
