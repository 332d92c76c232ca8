"""CIFAR-100: trained on all 50,000 images with crops and flips, validated and tested on the 10,000.

    data/cifar100/cifar-100-python/train test

from cifar-100-python.tar.gz of the CIFAR page of Alex Krizhevsky, University of Toronto, unpacked in
data/cifar100. For a validation split of 5,000 training images see mnist.py (holdout).
"""

data_preprocessor = dict(
    num_classes=100,
    mean=[0.5070751592371323 * 255, 0.48654887331495095 * 255, 0.4409178433670343 * 255],
    std=[0.2673342858792401 * 255, 0.2564384629170883 * 255, 0.27615047132568404 * 255],
    to_rgb=False,  # the images are RGB already
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.CIFAR100',
        data_root='data/cifar100',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.CIFAR100',
        data_root='data/cifar100',
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
