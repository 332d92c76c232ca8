"""EMANet-50 under its CIFAR-10 recipe, on CIFAR-10 compressed as JPEG (not the published data).

    python tools/train.py configs/emanet/emanet50_cifar10_jpeg.py

JPEG loses a little of the pixels, so accuracies are not those of emanet50_cifar10.py, of which only the
data set differs. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10_jpeg.py',
    '../_base_/schedules/emanet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.EMANet', depth=50, stem='cifar', groups='cifar'),
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(
        type='LinearClsHead',
        in_channels=2048,
        num_classes=10,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,  # as the authors: PyTorch's own
    ),
)

train_dataloader = dict(batch_size=120)
val_dataloader = dict(batch_size=100)
test_dataloader = val_dataloader
