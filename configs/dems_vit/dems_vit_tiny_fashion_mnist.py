"""DEMS-ViT-Ti on FashionMNIST, from scratch.

    python tools/train.py configs/dems_vit/dems_vit_tiny_fashion_mnist.py

Source: DEMS-ViT (visresearch/dems), table of FashionMNIST, from scratch.
Reproduces: 95.59 % top-1.

The authors' code fails on grey images, so what they did is not known; here each is repeated to three
channels and enlarged from 28 to 32 pixels.

On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/pretrain_tiny.py',
    './_base_/fashion_mnist.py',
    '../_base_/classification_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=[*_base_.crop, *_base_.colour, *_base_.flip]))
