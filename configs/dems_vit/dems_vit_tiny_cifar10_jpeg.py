"""DEMS-ViT-Ti on CIFAR-10 compressed as JPEG, from scratch.

    python tools/train.py configs/dems_vit/dems_vit_tiny_cifar10_jpeg.py

Source: ours, dems_vit_tiny_cifar10.py on other images.
Reproduces: no published number.

The recipe of dems_vit_tiny_cifar10.py. Nothing is published for these images.

On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/pretrain_tiny.py',
    './_base_/cifar10_jpeg.py',
    '../_base_/classification_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=[*_base_.crop, *_base_.colour, *_base_.flip]))
