"""The differential ViT (current attention, 2,703,966 parameters) on CIFAR-10 compressed as JPEG.

    python tools/train.py configs/diff_vit/diff_vit_nano_cifar10_jpeg.py

Source: ours, vit_nano_cifar10.py with the other attention, on other images.
Reproduces: no published number.

Network and recipe of NanoDiffVision's former CIFAR-10 configuration, see vit_nano_cifar10.py;
accuracies are not those of CIFAR-10. For the plain ViT: model.backbone.attention=self.
"""

_base_ = './vit_nano_cifar10.py'

model = dict(backbone=dict(attention='differential'))

# The files are sorted by class; the random split of the holdout, drawn once, mixes them.
_jpeg = dict(type='mdvision.CIFAR10JPEG', data_root='data/cifar10_jpeg')
train_dataloader = dict(dataset=_jpeg)
val_dataloader = dict(dataset=_jpeg)
test_dataloader = val_dataloader
