"""The differential ViT on ImageNet, in the paper's form.

    python tools/train.py configs/diff_vit/diff_vit_imagenet.py

Source: ours, in the size and with the recipe of DeiT-Ti.
Reproduces: no published number.

As vit_imagenet.py, with differential attention: lambda counts the layers from 1, and each head has a
norm and the factor 1 - l0 before the projection. Its queries and keys are twice as wide, so it has
7,321,000 parameters, the plain one 6,434,728.
"""

_base_ = './vit_imagenet.py'

model = dict(backbone=dict(attention='differential', layer_index_start=1, head_norm=True))
