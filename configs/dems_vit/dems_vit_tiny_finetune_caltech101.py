"""DEMS-ViT-Ti on Caltech-101, 100 epochs after dems_vit_tiny_caltech101.py; no number is published.

    python tools/train.py configs/dems_vit/dems_vit_tiny_finetune_caltech101.py

It starts from the last checkpoint of that training; from another one with --cfg-options load_from=FILE.
On a GPU add --amp for the authors' mixed precision (fp16). Not trained yet, time not measured.
"""

_base_ = [
    './_base_/finetune_tiny.py',
    './_base_/caltech101.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(image_size=256, patch_size=16), head=dict(num_classes=102))
load_from = 'work_dirs/dems_vit_tiny_caltech101/epoch_800.pth'
