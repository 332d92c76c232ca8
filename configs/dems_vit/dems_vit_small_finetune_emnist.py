"""DEMS-ViT-S on EMNIST (split "mnist"), 100 epochs after dems_vit_small_emnist.py.

    python tools/train.py configs/dems_vit/dems_vit_small_finetune_emnist.py

Source: DEMS-ViT (visresearch/dems), its recipe of fine-tuning; the table has CIFAR only.
Reproduces: no published number.

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/finetune_small.py',
    './_base_/emnist.py',
    '../_base_/classification_runtime.py',
]

load_from = 'work_dirs/dems_vit_small_emnist/epoch_800.pth'
