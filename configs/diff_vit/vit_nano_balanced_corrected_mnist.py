"""The "balanced" plain nano ViT (width 48) of vit_nano_balanced_mnist.py, corrected.

    python tools/train.py configs/diff_vit/vit_nano_balanced_corrected_mnist.py

Source: ours, after the first table of MNIST of NanoDiffVision (eithannak29/NanoDiffVision).
Reproduces: no published number.

What is corrected is in vit_nano_corrected_mnist.py.
"""

_base_ = './vit_nano_corrected_mnist.py'

model = dict(backbone=dict(embed_dim=48))
