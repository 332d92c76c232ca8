"""LMA-ResNet-18 on ImageNet: 11,689,576 parameters, 71.43 / 90.18 % top-1 / top-5 published.

    python tools/train.py configs/lma/lma_resnet18_imagenet.py

The attention stands at the end of every block. The published curves have 100 epochs with drops after
30, 60 and 90; batch (256), rate (0.1), weight decay (1e-4) and augmentation (random resized crop, flip)
are our choice. The rate follows the real batch: on eight GPUs train_dataloader.batch_size=32 keeps it.
Not trained yet.
"""

_base_ = '../attention/resnet18_imagenet.py'

model = dict(
    backbone=dict(attention=dict(type='LightweightMixedDomainAttention')),
    head=dict(init_cfg=dict(_delete_=True, type='Normal', layer='Linear', std=0.01)),
)
