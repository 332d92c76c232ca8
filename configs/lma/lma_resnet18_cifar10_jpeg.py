"""LMA-ResNet-18 with a CIFAR stem, on CIFAR-10 compressed as JPEG; LMA has no published CIFAR result.

    python tools/train.py configs/lma/lma_resnet18_cifar10_jpeg.py

The recipe is EMANet's for CIFAR-10: SGD at 0.1, a cosine to 0 over 200 epochs, batch 120. Not trained
yet.
"""

_base_ = [
    '../_base_/datasets/cifar10_jpeg.py',
    '../_base_/schedules/emanet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.AttentionResNet',
        depth=18,
        stem='cifar',
        attention=dict(type='LightweightMixedDomainAttention'),
    ),
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(
        type='LinearClsHead',
        in_channels=512,
        num_classes=10,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)

train_dataloader = dict(batch_size=120)
val_dataloader = dict(batch_size=100)
test_dataloader = val_dataloader
