"""DEMS-ViT-S on Caltech-101, 100 epochs after dems_vit_small_caltech101.py.

    python tools/train.py configs/dems_vit/dems_vit_small_finetune_caltech101.py

Source: DEMS-ViT (visresearch/dems), its recipe of fine-tuning; the table has CIFAR only.
Reproduces: no published number.

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/finetune_small.py',
    './_base_/caltech101.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(image_size=256, patch_size=16))
load_from = 'work_dirs/dems_vit_small_caltech101/epoch_800.pth'
