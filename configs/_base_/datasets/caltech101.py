"""Caltech-101, 102 classes with the background: 30 images of each in training, the others in the test.

    data/caltech101/101_ObjectCategories/accordion/image_0001.jpg ...

from caltech-101.zip of CaltechDATA, California Institute of Technology. There is no official split: the
30 are drawn once with split_seed=0. train_per_class=None reads meta/train.txt and meta/test.txt instead.
"""

data_preprocessor = dict(
    num_classes=102,
    mean=[0.485 * 255, 0.456 * 255, 0.406 * 255],
    std=[0.229 * 255, 0.224 * 255, 0.225 * 255],
    to_rgb=True,  # the loader gives BGR
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.Caltech101',
        data_root='data/caltech101',
        split='train',
        train_per_class=30,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.Caltech101',
        data_root='data/caltech101',
        split='test',
        train_per_class=30,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
