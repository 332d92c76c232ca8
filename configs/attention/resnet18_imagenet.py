"""ResNet-18 on ImageNet, the baseline of LMA's table: 69.76 / 89.08 % top-1 / top-5 published.

    python tools/train.py configs/attention/resnet18_imagenet.py

Batch, rate and augmentation are our choice, since the authors of the table publish only curves: SGD at
0.1 for a batch of 256, a tenth of it after epochs 30, 60 and 90 of 100, random resized crop and flip.
The rate follows the real batch: on eight GPUs train_dataloader.batch_size=32 keeps it. The published
number is also that of torchvision's weights. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.AttentionResNet', depth=18, stem='imagenet'),
    neck=dict(type='mdvision.GlobalPool'),
    # Without init_cfg the host would draw the linear layer from Normal(0.01).
    head=dict(
        type='LinearClsHead',
        in_channels=512,
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,
    ),
)

train_dataloader = dict(batch_size=256)
