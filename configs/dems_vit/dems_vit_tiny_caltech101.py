"""DEMS-ViT-Ti on Caltech-101, from scratch.

    python tools/train.py configs/dems_vit/dems_vit_tiny_caltech101.py

Source: DEMS-ViT (visresearch/dems), table of Caltech-101, from scratch.
Reproduces: 86.56 % top-1.

256 x 256 pixels, patches of 16. Nothing is published about the split: here 30 images of each class are
for training, and the background is one of the 102 classes, while the authors count 101. So the
accuracies do not compare.

On a GPU add --amp for the authors' mixed precision (fp16).
"""

_base_ = [
    './_base_/pretrain_tiny.py',
    './_base_/caltech101.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(image_size=256, patch_size=16))
train_dataloader = dict(dataset=dict(pipeline=[*_base_.crop, *_base_.colour, *_base_.flip]))
