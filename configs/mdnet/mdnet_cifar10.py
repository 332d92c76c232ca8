"""MDNet on CIFAR-10: 2,284,138 parameters, 94.82 % published.

    python tools/train.py configs/mdnet/mdnet_cifar10.py

The authors do not give their CIFAR-10 recipe. This is our choice: their CIFAR-100 recipe, see
mdnet_cifar100.py, with CIFAR-10's mean and deviation; two passes an epoch as well (one:
train_dataloader.dataset.times=1). Not trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/mdnet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.MDNet'),
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(
        type='LinearClsHead',
        in_channels=1280,
        num_classes=10,
        loss=dict(type='mdvision.UnnormalizedLabelSmoothLoss', label_smooth_val=0.1),
        init_cfg=None,  # as the authors: PyTorch's own
    ),
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # torchvision's rotation by up to 15 degrees either way: nearest neighbour, zeros outside.
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandomRotation', degrees=15),
    dict(type='PILToNumpy'),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='mdvision.CIFAR10', data_root='data/cifar10', split='train', pipeline=train_pipeline
        ),
    ),
)
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader

# With the smoothing of the training loss, whose targets sum to 1.001 and not to 1.
val_evaluator = [_base_.val_evaluator[0], dict(type='mdvision.ClassificationLoss', label_smoothing=0.1)]
test_evaluator = val_evaluator
