"""MobileNetV2 on ImageNet.

    python tools/train.py configs/lma/mobilenet_v2_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 71.88 / 90.29 % top-1 / top-5.

The recipe is our choice, because LMA's authors give none: that of torchvision's reference training,
whose weights have the published number. SGD at 0.045 for a batch of 256, times 0.98 per epoch, 300
epochs, weight decay 4e-5. The learning rate follows the effective batch size: on eight GPUs
train_dataloader.batch_size=32 keeps it.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_mobilenet_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(type='mdvision.AttentionMobileNetV2'),
    neck=dict(drop_rate=0.2),
    head=dict(init_cfg=dict(_delete_=True, type='Normal', layer='Linear', std=0.01)),
)

train_dataloader = dict(batch_size=256)
