"""ResNet-18 on ImageNet.

    python tools/train.py configs/attention/resnet18_imagenet.py

Source: LMA (ndsclark/LMANet; Applied Intelligence 53, 2023), table of ImageNet.
Reproduces: 69.76 / 89.08 % top-1 / top-5.

Batch size, learning rate and augmentation are our choice, since the authors of the table publish only
curves: SGD at 0.1 for a batch of 256, a tenth of it after epochs 30, 60 and 90 of 100, random resized
crop and flip. The learning rate follows the effective batch size: on eight GPUs
train_dataloader.batch_size=32 keeps it. The published number is also that of torchvision's weights.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(type='mdvision.AttentionResNet', depth=18, stem='imagenet'))

train_dataloader = dict(batch_size=256)
