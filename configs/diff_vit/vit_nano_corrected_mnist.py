"""The plain nano ViT of vit_nano_mnist.py, with what the authors' code does by accident put right.

    python tools/train.py configs/diff_vit/vit_nano_corrected_mnist.py

Source: ours, after the first table of MNIST of NanoDiffVision (eithannak29/NanoDiffVision).
Reproduces: no published number.

No GELU and dropout on the logits, no GELU at the end of the blocks' MLPs, no bias of the keys, no
unused norms. The recipe is theirs: no shuffling, learning rate 3e-4.
"""

_base_ = './vit_nano_mnist.py'

model = dict(
    backbone=dict(mlp_activation_out=False, key_bias=False, unused_norm=False),
    neck=dict(activation_out=False, unused_norm=False),
)
