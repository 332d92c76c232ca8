"""MDNet on CIFAR-100 as its code trains it: 2,399,428 parameters.

    python tools/train.py configs/mdnet/mdnet_cifar100.py

Source: MDNet (Gaojinghan1/MDNET), table of CIFAR-100.
Reproduces: 73.34 % top-1, the best on the test images after epoch 120.

AdamW at 1e-3 with weight decay 0.05, batch 128, crop, flip and rotation by up to 15 degrees, smoothed
targets that sum to 1.001. As in the authors' code an epoch is two passes over the training images, 400
in all; one pass is train_dataloader.dataset.times=1. Here the two passes are shuffled together. The
schedule is the one that really runs, see _base_/schedules/mdnet_cifar.py.

A real attention instead of a constant: model.backbone.num_heads=8. Standard smoothing:
model.head.loss.type=LabelSmoothLoss.
"""

_base_ = ['./_base_/cifar.py', '../_base_/datasets/cifar100.py']

train_pipeline = _base_.crop_flip_rotate
_images = dict(_base_.train_dataloader.dataset, pipeline=train_pipeline)
# The authors' two passes per epoch.
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=_images))

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
