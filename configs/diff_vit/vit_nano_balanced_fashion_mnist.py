"""The "balanced" nano ViT of the first FashionMNIST table: width 48, 55,626 parameters.

    python tools/train.py configs/diff_vit/vit_nano_balanced_fashion_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of FashionMNIST.
Reproduces: 86.79 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(embed_dim=48))
