"""DEMS-ViT-S on CIFAR-100, 100 epochs after dems_vit_small_cifar100.py: 85.16 % published.

    python tools/train.py configs/dems_vit/dems_vit_small_finetune_cifar100.py

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
The published number is the best test accuracy over all epochs, chosen on the test images. On a GPU add
--amp for the authors' mixed precision (fp16). Not trained yet, time not measured.
"""

_base_ = [
    './_base_/finetune_small.py',
    './_base_/cifar100.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=100))
load_from = 'work_dirs/dems_vit_small_cifar100/epoch_800.pth'
