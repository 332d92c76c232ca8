"""The differential nano ViT under the same recipe, corrected as vit_nano_corrected_mnist.py.

    python tools/train.py configs/diff_vit/diff_vit_nano_legacy_corrected_mnist.py

Besides: lambda counts the layers from 1, and each head has its own norm before the projection, with the
factor 1 - l0, as in the paper. About 5 minutes on two CPU cores.
"""

_base_ = './vit_nano_corrected_mnist.py'

model = dict(backbone=dict(attention='legacy', layer_index_start=1, head_norm=True))
