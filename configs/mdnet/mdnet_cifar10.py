"""MDNet on CIFAR-10: 2,284,138 parameters.

    python tools/train.py configs/mdnet/mdnet_cifar10.py

Source: MDNet (Gaojinghan1/MDNET), table of CIFAR-10.
Reproduces: 94.82 % top-1.

The authors do not give their CIFAR-10 recipe. This is our choice: their CIFAR-100 recipe, see
mdnet_cifar100.py, with CIFAR-10's mean and standard deviation; two passes per epoch as well (one:
train_dataloader.dataset.times=1).
"""

_base_ = ['./_base_/cifar.py', '../_base_/datasets/cifar10.py']

train_pipeline = _base_.crop_flip_rotate
_images = dict(_base_.train_dataloader.dataset, pipeline=train_pipeline)
# The authors' two passes per epoch.
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=_images))

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
