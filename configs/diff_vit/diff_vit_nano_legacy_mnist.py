"""The differential nano ViT of the first MNIST table: legacy attention, 38,106 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of MNIST.
Reproduces: 95.75 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(attention='legacy'))
