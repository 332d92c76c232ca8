"""The differential nano ViT of the first FashionMNIST table: 38,106 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_fashion_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of FashionMNIST.
Reproduces: 87.26 % test accuracy, of the weights of the last epoch.

The attention is the legacy form.
"""

_base_ = './vit_nano_fashion_mnist.py'

model = dict(backbone=dict(attention='legacy'))
