"""DEMS-ViT-Ti on CIFAR-10, 100 epochs after dems_vit_tiny_cifar10.py.

    python tools/train.py configs/dems_vit/dems_vit_tiny_finetune_cifar10.py

Source: DEMS-ViT (visresearch/dems), table of CIFAR-10, fine-tuned.
Reproduces: 96.74 % top-1.

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/finetune_tiny.py',
    './_base_/cifar10.py',
    '../_base_/classification_runtime.py',
]

load_from = 'work_dirs/dems_vit_tiny_cifar10/epoch_800.pth'
