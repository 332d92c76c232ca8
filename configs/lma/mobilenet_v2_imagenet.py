"""MobileNetV2 on ImageNet, the baseline of LMA's table: 71.88 / 90.29 % top-1 / top-5 published.

    python tools/train.py configs/lma/mobilenet_v2_imagenet.py

The recipe is our choice, because LMA's authors give none: that of torchvision's reference training,
whose weights have the published number. SGD at 0.045 for a batch of 256, times 0.98 an epoch, 300
epochs, weight decay 4e-5. The rate follows the real batch: on eight GPUs train_dataloader.batch_size=32
keeps it. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_mobilenet_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.AttentionMobileNetV2'),
    neck=dict(type='mdvision.GlobalPool', drop_rate=0.2),
    head=dict(
        type='LinearClsHead',
        in_channels=1280,
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)

train_dataloader = dict(batch_size=256)
