"""The differential nano ViT of diff_vit_nano_legacy_mnist.py, corrected.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_corrected_mnist.py

Source: ours, after the first table of MNIST of NanoDiffVision (eithannak29/NanoDiffVision).
Reproduces: no published number.

Corrected as vit_nano_corrected_mnist.py; besides, lambda counts the layers from 1, and each head has
its own norm before the projection, with the factor 1 - l0, as in the paper.
"""

_base_ = './vit_nano_corrected_mnist.py'

model = dict(backbone=dict(attention='legacy', layer_index_start=1, head_norm=True))
