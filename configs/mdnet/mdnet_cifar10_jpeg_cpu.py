"""MDNet on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/mdnet/mdnet_cifar10_jpeg_cpu.py

Source: ours, mdnet_cifar10_jpeg.py made small.
Reproduces: no published number.

The network of mdnet_cifar10_jpeg.py at its full size; one pass over the images per epoch.
"""

_base_ = ['./mdnet_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

train_dataloader = dict(batch_size=50, dataset=dict(times=1, dataset=dict(holdout=45_000)))

train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
