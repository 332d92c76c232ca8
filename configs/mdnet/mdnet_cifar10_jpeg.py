"""MDNet under the recipe of mdnet_cifar10.py, on CIFAR-10 compressed as JPEG (not the published data).

    python tools/train.py configs/mdnet/mdnet_cifar10_jpeg.py

Only the data set differs; accuracies are not those of CIFAR-10. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10_jpeg.py',
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
            type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg', split='train', pipeline=train_pipeline
        ),
    ),
)
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader
