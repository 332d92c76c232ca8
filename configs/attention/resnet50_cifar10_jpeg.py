"""ResNet-50 under EMANet's CIFAR-10 recipe, on CIFAR-10 compressed as JPEG (not the published data).

    python tools/train.py configs/attention/resnet50_cifar10_jpeg.py

Source: ours, resnet50_cifar10.py on other images.
Reproduces: no published number.

For another attention: --cfg-options model.backbone.attention="{'type': 'mdvision.SqueezeExcite'}".
"""

_base_ = './resnet50_cifar10.py'

_jpeg = dict(type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg')
train_dataloader = dict(dataset=_jpeg)
val_dataloader = dict(dataset=_jpeg)
test_dataloader = val_dataloader
