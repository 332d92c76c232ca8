"""A narrow, shallow EMANet on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/emanet/emanet50_cifar10_jpeg_cpu.py

Source: ours, emanet50_cifar10_jpeg.py made small.
Reproduces: no published number.

The blocks, data set and optimiser of emanet50_cifar10_jpeg.py; one block per stage and a quarter of the
width.
"""

_base_ = ['./emanet50_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

model = dict(
    backbone=dict(
        stage_blocks=(1, 1, 1, 1),
        base_channels=16,
        gate_reduction=4,
        groups=((1, 2, 4, 4), (1, 2, 4, 8), (1, 2, 4, 8), (1, 4, 8, 16)),
    ),
)
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
