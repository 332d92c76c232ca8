"""CIFAR-100: trained on all 50,000 images with crops and flips, validated and tested on the 10,000.

    data/cifar100/cifar-100-python/train test

from cifar-100-python.tar.gz of the CIFAR page of Alex Krizhevsky, University of Toronto, unpacked in
data/cifar100. For a validation split of 5,000 training images see mnist.py (holdout).
"""

_base_ = './cifar10.py'

data_preprocessor = dict(
    mean=[0.5070751592371323 * 255, 0.48654887331495095 * 255, 0.4409178433670343 * 255],
    std=[0.2673342858792401 * 255, 0.2564384629170883 * 255, 0.27615047132568404 * 255],
)
_files = dict(type='mdvision.CIFAR100', data_root='data/cifar100')
train_dataloader = dict(dataset=_files)
val_dataloader = dict(dataset=_files)
test_dataloader = val_dataloader
accuracy = dict(type='Accuracy', topk=(1, 5))
val_evaluator = [accuracy, dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
