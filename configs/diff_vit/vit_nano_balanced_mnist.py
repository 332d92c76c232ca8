"""The "balanced" plain nano ViT of the first MNIST table: width 48, 55,626 parameters.

    python tools/train.py configs/diff_vit/vit_nano_balanced_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of MNIST.
Reproduces: 95.53 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_mnist.py'

model = dict(backbone=dict(embed_dim=48))
