"""DEMS-ViT-Ti with patches of 4 pixels on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/dems_vit/dems_vit_tiny_cifar10_jpeg_cpu.py

Source: ours, dems_vit_tiny_cifar10_jpeg.py made small.
Reproduces: no published number.

dems_vit_tiny_cifar10_jpeg.py with a quarter of its tokens, without mixup and colour augmentation, which
only a long training profits from.
"""

_base_ = ['./dems_vit_tiny_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

model = dict(backbone=dict(patch_size=4, drop_path_rate=0.0), train_cfg=None)
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000, pipeline=[*_base_.crop, *_base_.flip]))

custom_hooks = []  # no scheduled augmentation
train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
