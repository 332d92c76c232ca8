"""The differential ViT (current attention, 2,703,966 parameters) on CIFAR-10 compressed as JPEG.

    python tools/train.py configs/diff_vit/diff_vit_nano_cifar10_jpeg.py

Network and recipe of NanoDiffVision's former CIFAR-10 configuration, see vit_nano_cifar10.py;
accuracies are not those of CIFAR-10. For the plain ViT: model.backbone.attention=self. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10_jpeg.py',
    '../_base_/schedules/nano_diff_vit.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.DiffViT',
        attention='differential',
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
    # The files are sorted by class; the random split of the holdout, drawn once, mixes them.
    sampler=dict(shuffle=False),
    dataset=dict(holdout=5000, holdout_seed=42, pipeline=train_pipeline),
)
train_cfg = dict(max_epochs=50)
# The authors' rate does not depend on the batch.
auto_scale_lr = dict(enable=False, base_batch_size=128)
