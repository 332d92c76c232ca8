"""DEMS-ViT-S on ImageNet, from scratch.

    python tools/train.py configs/dems_vit/dems_vit_small_imagenet.py

Source: ours, after DEMS-ViT (visresearch/dems).
Reproduces: no published number.

Our choice, nothing is published: the recipe of the small data sets at 256 x 256 pixels, patches of 16,
for 300 epochs in place of 800.

On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/pretrain_small.py',
    './_base_/imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(image_size=256, patch_size=16))
train_dataloader = dict(dataset=dict(pipeline=[*_base_.crop, *_base_.colour, *_base_.flip]))
train_cfg = dict(max_epochs=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.002, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=290, eta_min=1e-6, by_epoch=True, begin=10, end=300),
]
