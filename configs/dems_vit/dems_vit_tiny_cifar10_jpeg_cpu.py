"""DEMS-ViT-Ti with patches of 4 pixels on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/dems_vit/dems_vit_tiny_cifar10_jpeg_cpu.py

dems_vit_tiny_cifar10_jpeg.py with a quarter of its tokens, without mixup and colour augmentation, which
only a long training profits from.
Five epochs; what it reached, and in what time, is in docs/reproduce.md.
"""

_base_ = './dems_vit_tiny_cifar10_jpeg.py'

model = dict(backbone=dict(patch_size=4, drop_path_rate=0.0), train_cfg=None)
# 5,000 images, drawn at random once; the rest of the training set is held out and not used.
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000, pipeline=[*_base_.crop, *_base_.flip]))

custom_hooks = []  # no scheduled augmentation
train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
