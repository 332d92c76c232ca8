"""EMANet-50 under its CIFAR-10 recipe, on CIFAR-10 compressed as JPEG (not the published data).

    python tools/train.py configs/emanet/emanet50_cifar10_jpeg.py

Source: ours, emanet50_cifar10.py on other images.
Reproduces: no published number.

JPEG loses a little of the pixels, so accuracies are not those of emanet50_cifar10.py, of which only the
data set differs.
"""

_base_ = './emanet50_cifar10.py'

_jpeg = dict(type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg')
train_dataloader = dict(dataset=_jpeg)
val_dataloader = dict(dataset=_jpeg)
test_dataloader = val_dataloader
