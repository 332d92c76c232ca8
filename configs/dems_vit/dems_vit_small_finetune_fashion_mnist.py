"""DEMS-ViT-S on FashionMNIST, 100 epochs after dems_vit_small_fashion_mnist.py.

    python tools/train.py configs/dems_vit/dems_vit_small_finetune_fashion_mnist.py

Source: DEMS-ViT (visresearch/dems), its recipe of fine-tuning; the table has CIFAR only.
Reproduces: no published number.

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/finetune_small.py',
    './_base_/fashion_mnist.py',
    '../_base_/classification_runtime.py',
]

load_from = 'work_dirs/dems_vit_small_fashion_mnist/epoch_800.pth'
