"""LMA-ResNet-18 with a CIFAR stem, on CIFAR-10 compressed as JPEG.

    python tools/train.py configs/lma/lma_resnet18_cifar10_jpeg.py

Source: ours, the network of LMA, the recipe of EMANet's CIFAR-10.
Reproduces: no published number.

SGD at 0.1, a cosine to 0 over 200 epochs, batch 120.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/cifar10_jpeg.py',
    '../_base_/schedules/emanet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(
        type='mdvision.AttentionResNet',
        depth=18,
        stem='cifar',
        attention=dict(type='mdvision.LightweightMixedDomainAttention'),
    ),
    head=dict(init_cfg=dict(_delete_=True, type='Normal', layer='Linear', std=0.01)),
)

train_dataloader = dict(batch_size=120)
val_dataloader = dict(batch_size=100)
test_dataloader = val_dataloader
