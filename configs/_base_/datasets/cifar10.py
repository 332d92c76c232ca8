"""CIFAR-10: trained on all 50,000 images with crops and flips, validated and tested on the 10,000.

    data/cifar10/cifar-10-batches-py/data_batch_1 ... data_batch_5 test_batch

from cifar-10-python.tar.gz of the CIFAR page of Alex Krizhevsky, University of Toronto, unpacked in
data/cifar10. For a validation split of 5,000 training images see mnist.py (holdout).
"""

_base_ = './smoothed_loss.py'

data_preprocessor = dict(
    num_classes=None,  # from the data set
    mean=[0.4914 * 255, 0.4822 * 255, 0.4465 * 255],
    std=[0.2023 * 255, 0.1994 * 255, 0.2010 * 255],
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
        type='mdvision.CIFAR10',
        data_root='data/cifar10',
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
        type='mdvision.CIFAR10',
        data_root='data/cifar10',
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

accuracy = dict(type='Accuracy', topk=(1,))
val_evaluator = [accuracy, dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
