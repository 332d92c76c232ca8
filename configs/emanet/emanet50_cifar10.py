"""EMANet-50 on CIFAR-10, the first row of its authors' comparison: 21,191,061 parameters, 95.61 % published.

    python tools/train.py configs/emanet/emanet50_cifar10.py

SGD at 0.1, momentum 0.9, weight decay 5e-4, a cosine to 0 over 200 epochs, batch 120, random crop and
flip. The rate is given for a batch of 120 and follows the real batch (auto_scale_lr). The published
number is the best test accuracy over all epochs, chosen on the test images.

The other rows of the comparison, under the same recipe, are in configs/attention. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/emanet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.EMANet', depth=50, stem='cifar', groups='cifar'),
    neck=dict(type='mdvision.GlobalPool'),
    # Without init_cfg the host would draw the linear layer from Normal(0.01); the authors keep PyTorch's.
    head=dict(
        type='LinearClsHead',
        in_channels=2048,
        num_classes=10,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,
    ),
)

train_dataloader = dict(batch_size=120)
val_dataloader = dict(batch_size=100)
test_dataloader = val_dataloader
