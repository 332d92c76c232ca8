"""Pictures of your own, a folder for each class; the classes are the folders of train, sorted.

    data/pictures/train/cat/*.jpg  train/dog/*.jpg
                  val/cat/*.jpg    val/dog/*.jpg

A config of yours sets data_root in the three data sets and the number of classes in data_preprocessor and in
the head of the model; see docs/your_data.md.
"""

data_preprocessor = dict(
    num_classes=2,
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
        type='mdvision.ImageFolder',
        data_root='data/pictures',
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
        type='mdvision.ImageFolder',
        data_root='data/pictures',
        split='val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
