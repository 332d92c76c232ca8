"""MDNet under the recipe of mdnet_cifar10.py, on CIFAR-10 compressed as JPEG (not the published data).

    python tools/train.py configs/mdnet/mdnet_cifar10_jpeg.py

Source: ours, mdnet_cifar10.py on other images.
Reproduces: no published number.

Only the data set differs; accuracies are not those of CIFAR-10.
"""

_base_ = './mdnet_cifar10.py'

_jpeg = dict(type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg')
train_dataloader = dict(dataset=dict(dataset=_jpeg))  # within the repetition
val_dataloader = dict(dataset=_jpeg)
test_dataloader = val_dataloader
