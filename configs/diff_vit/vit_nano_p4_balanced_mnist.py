"""The "balanced" nano ViT of the current MNIST table: 4 heads, 81,546 parameters.

    python tools/train.py configs/diff_vit/vit_nano_p4_balanced_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), current table of MNIST.
Reproduces: 94.76 % test accuracy, of the weights of the last epoch.
"""

_base_ = './vit_nano_p4_mnist.py'

model = dict(backbone=dict(num_heads=4))
