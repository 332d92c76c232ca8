"""DEMS-ViT-Ti on CIFAR-10, from scratch.

    python tools/train.py configs/dems_vit/dems_vit_tiny_cifar10.py

Source: DEMS-ViT (visresearch/dems), table of CIFAR-10, from scratch.
Reproduces: 96.03 % top-1.

The published accuracy is that of the first 9,984 test images, or of a part on several GPUs; here all
10,000 count.

On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/pretrain_tiny.py',
    './_base_/cifar10.py',
    '../_base_/classification_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=[*_base_.crop, *_base_.colour, *_base_.flip]))
