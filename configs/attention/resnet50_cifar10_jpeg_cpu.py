"""A narrow ResNet-50 on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/attention/resnet50_cifar10_jpeg_cpu.py

resnet50_cifar10_jpeg.py at a quarter of the width. For an attention: --cfg-options
model.backbone.attention="{'type': 'SqueezeExcite'}".
Five epochs; what it reached, and in what time, is in docs/reproduce.md.
"""

_base_ = './resnet50_cifar10_jpeg.py'

model = dict(backbone=dict(base_channels=16), head=dict(in_channels=512))
# 5,000 images, drawn at random once; the rest of the training set is held out and not used.
train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
