"""The differential nano ViT of the current MNIST table: 98,186 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_p4_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), current table of MNIST.
Reproduces: 96.03 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_p4_mnist.py'

model = dict(backbone=dict(attention='differential'))
