"""EMANet-101 on ImageNet, as emanet50_imagenet.py.

    python tools/train.py configs/emanet/emanet101_imagenet.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), its code; the recipe is ours.
Reproduces: no published number.
"""

_base_ = './emanet50_imagenet.py'

model = dict(backbone=dict(depth=101))
