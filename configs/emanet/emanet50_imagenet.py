"""EMANet-50 on ImageNet. The authors publish neither a number nor a recipe for it.

    python tools/train.py configs/emanet/emanet50_imagenet.py

The recipe is the one we chose for LMA's ResNets, so that the rows of configs/attention and configs/lma
compare: SGD at 0.1 for a batch of 256, a tenth of it after epochs 30, 60 and 90 of 100. The rate
follows the real batch: on eight GPUs train_dataloader.batch_size=32 keeps it. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.EMANet', depth=50, stem='imagenet', groups='imagenet'),
    neck=dict(type='mdvision.GlobalPool'),
    # Without init_cfg the host would draw the linear layer from Normal(0.01); the authors keep PyTorch's.
    head=dict(
        type='LinearClsHead',
        in_channels=2048,
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,
    ),
)

train_dataloader = dict(batch_size=256)
