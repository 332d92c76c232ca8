"""EMANet-50 on mini-ImageNet as the authors train it: 20,261,551 parameters. No number is published.

    python tools/train.py configs/emanet/emanet50_mini_imagenet.py

SGD at 0.1, a tenth of it every 30 epochs, 120 epochs, batch 32, weight decay 1e-4; random resized crop
to 224 and flip; tested on the centre 224 of 256. Their mini-ImageNet network has a group norm in its
spatial gate. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/emanet_mini.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.EMANet', depth=50, stem='imagenet', groups='imagenet', spatial_group_norm=True
    ),
    neck=dict(type='mdvision.GlobalPool'),
    # Without init_cfg the host would draw the linear layer from Normal(0.01); the authors keep PyTorch's.
    head=dict(
        type='LinearClsHead',
        in_channels=2048,
        num_classes=100,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,
    ),
)

train_dataloader = dict(batch_size=32)
val_dataloader = dict(batch_size=32)
test_dataloader = val_dataloader
