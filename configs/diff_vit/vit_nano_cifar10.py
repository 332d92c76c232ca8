"""The plain ViT of NanoDiffVision's former CIFAR-10 configuration: 2,343,566 parameters.

    python tools/train.py configs/diff_vit/vit_nano_cifar10.py

No number is published. Patches of 8 pixels, width 300, 2 blocks, 6 heads, dropout 0.3; batch 128, 50
epochs; flip, RandAugment, crop. As the authors: 45,000 training images in the same order in every
epoch. They validate on augmented images; here the test images, unchanged, are the validation set. Not
trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/nano_diff_vit.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.DiffViT',
        attention='self',
        image_size=32,
        patch_size=8,
        in_channels=3,
        embed_dim=300,
        hidden_dim=1024,
        depth=2,
        num_heads=6,
        drop_rate=0.3,
    ),
    neck=dict(type='mdvision.MLPLogits', in_channels=300, hidden_channels=1024, num_classes=10),
    head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
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
train_dataloader = dict(
    batch_size=128,
    sampler=dict(shuffle=False),
    dataset=dict(holdout=5000, holdout_seed=42, pipeline=train_pipeline),
)
train_cfg = dict(max_epochs=50)
# The authors' rate does not depend on the batch.
auto_scale_lr = dict(enable=False, base_batch_size=128)

# With the smoothing of the training loss, so that the two can be compared.
val_evaluator = [_base_.val_evaluator[0], dict(type='mdvision.ClassificationLoss', label_smoothing=0.1)]
test_evaluator = val_evaluator
