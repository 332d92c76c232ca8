"""A narrow, shallow EMANet on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/emanet/emanet50_cifar10_jpeg_cpu.py

The blocks, data set and optimiser of emanet50_cifar10_jpeg.py; one block a stage and a quarter of the width.
Five epochs; what it reached, and in what time, is in docs/reproduce.md.
"""

_base_ = './emanet50_cifar10_jpeg.py'

model = dict(
    backbone=dict(
        stage_blocks=(1, 1, 1, 1),
        base_channels=16,
        gate_reduction=4,
        groups=((1, 2, 4, 4), (1, 2, 4, 8), (1, 2, 4, 8), (1, 4, 8, 16)),
    ),
    head=dict(in_channels=512),
)
# 5,000 images, drawn at random once; the rest of the training set is held out and not used.
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
