"""LMA-ResNet-18 at half the width on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/lma/lma_resnet18_cifar10_jpeg_cpu.py

Otherwise lma_resnet18_cifar10_jpeg.py.
Five epochs; what it reached, and in what time, is in docs/reproduce.md.
"""

_base_ = './lma_resnet18_cifar10_jpeg.py'

model = dict(backbone=dict(base_channels=32), head=dict(in_channels=256))
# 5,000 images, drawn at random once; the rest of the training set is held out and not used.
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
