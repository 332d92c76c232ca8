"""EMANet-101 on mini-ImageNet under the recipe of EMANet-50: 42,148,915 parameters. No number is published.

    python tools/train.py configs/emanet/emanet101_mini_imagenet.py

Not trained yet.
"""

_base_ = './emanet50_mini_imagenet.py'

model = dict(backbone=dict(depth=101))
