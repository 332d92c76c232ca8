"""The plain ViT of NanoDiffVision's former CIFAR-10 configuration: 2,343,566 parameters.

    python tools/train.py configs/diff_vit/vit_nano_cifar10.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), its configuration of CIFAR-10 until 2024-11-23.
Reproduces: no published number.

Patches of 8 pixels, width 300, 2 blocks, 6 heads, dropout 0.3; batch 128, 50 epochs; flip, RandAugment,
crop. As the authors: 45,000 training images in the same order in every epoch. They validate on
augmented images; here the test images, unchanged, are the validation set.
"""

_base_ = ['./_base_/vit_nano.py', '../_base_/datasets/cifar10.py']

model = dict(
    backbone=dict(
        image_size=32,
        patch_size=8,
        in_channels=3,
        embed_dim=300,
        hidden_dim=1024,
        depth=2,
        num_heads=6,
        drop_rate=0.3,
    ),
    neck=dict(hidden_channels=1024),
)

train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # torchvision's RandAugment, as the authors: 2 operations of magnitude 10.
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandAugment', num_ops=2, magnitude=10),
    dict(type='PILToNumpy'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(_base_.unshuffled, dataset=dict(_base_.unshuffled.dataset, pipeline=train_pipeline))
train_cfg = dict(max_epochs=50)
val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
