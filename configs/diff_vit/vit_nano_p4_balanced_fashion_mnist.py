"""The "balanced" nano ViT of the current FashionMNIST table: 4 heads, 81,546 parameters.

    python tools/train.py configs/diff_vit/vit_nano_p4_balanced_fashion_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), current table of FashionMNIST.
Reproduces: 84.90 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_p4_fashion_mnist.py'

model = dict(backbone=dict(num_heads=4))
