"""mini-ImageNet as classification: 100 classes, each cut 480 : 120 as MiniImageNet's docstring says.

    data/mini_imagenet/train.csv val.csv test.csv images/n0153282900000005.jpg ...

The images are from image-net.org, the csv files come with the split of Ravi and Larochelle (2017).
"""

data_preprocessor = dict(
    num_classes=100,
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
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.MiniImageNet',
        data_root='data/mini_imagenet',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.MiniImageNet',
        data_root='data/mini_imagenet',
        split='val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
