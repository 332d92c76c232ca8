"""LMA-ResNet-18 at half the width on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/lma/lma_resnet18_cifar10_jpeg_cpu.py

Source: ours, lma_resnet18_cifar10_jpeg.py made small.
Reproduces: no published number.
"""

_base_ = ['./lma_resnet18_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

model = dict(backbone=dict(base_channels=32))
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
