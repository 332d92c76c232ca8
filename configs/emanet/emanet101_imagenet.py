"""EMANet-101 on ImageNet, as emanet50_imagenet.py. No number is published.

    python tools/train.py configs/emanet/emanet101_imagenet.py

Not trained yet.
"""

_base_ = './emanet50_imagenet.py'

model = dict(backbone=dict(depth=101))
