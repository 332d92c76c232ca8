"""EMANet-101 on mini-ImageNet under the recipe of EMANet-50: 42,148,915 parameters.

    python tools/train.py configs/emanet/emanet101_mini_imagenet.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), its code; the depth is ours.
Reproduces: no published number.
"""

_base_ = './emanet50_mini_imagenet.py'

model = dict(backbone=dict(depth=101))
