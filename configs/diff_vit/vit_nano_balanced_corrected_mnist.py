"""The "balanced" plain nano ViT (width 48) under the same recipe, corrected as vit_nano_corrected_mnist.py.

    python tools/train.py configs/diff_vit/vit_nano_balanced_corrected_mnist.py

About 4 minutes on two CPU cores.
"""

_base_ = './vit_nano_corrected_mnist.py'

model = dict(backbone=dict(embed_dim=48), neck=dict(in_channels=48))
