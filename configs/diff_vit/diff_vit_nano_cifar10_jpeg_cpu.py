"""The differential ViT on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/diff_vit/diff_vit_nano_cifar10_jpeg_cpu.py

Source: ours, diff_vit_nano_cifar10_jpeg.py made small.
Reproduces: no published number.

The network of diff_vit_nano_cifar10_jpeg.py at its full size, the images shuffled.
"""

_base_ = ['./diff_vit_nano_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

train_dataloader = dict(batch_size=50, sampler=dict(shuffle=True), dataset=dict(holdout=45_000))

train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
