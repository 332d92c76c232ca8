"""The "balanced" nano ViT of the current MNIST table: 4 heads, 81,546 parameters, 94.76 % published.

    python tools/train.py configs/diff_vit/vit_nano_p4_balanced_mnist.py

About 10 minutes on two CPU cores.
"""

_base_ = './vit_nano_p4_mnist.py'

model = dict(backbone=dict(num_heads=4))
