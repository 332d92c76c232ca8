"""A narrow ResNet-50 on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/attention/resnet50_cifar10_jpeg_cpu.py

Source: ours, resnet50_cifar10_jpeg.py made small.
Reproduces: no published number.

resnet50_cifar10_jpeg.py at a quarter of the width. For an attention: --cfg-options
model.backbone.attention="{'type': 'mdvision.SqueezeExcite'}".
"""

_base_ = ['./resnet50_cifar10_jpeg.py', '../_base_/cpu_5_epochs.py']

model = dict(backbone=dict(base_channels=16))
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = _base_.five_epochs
param_scheduler = _base_.five_epochs_scheduler
