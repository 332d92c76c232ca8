"""EMANet-50 on ImageNet.

    python tools/train.py configs/emanet/emanet50_imagenet.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), its code; the recipe is ours.
Reproduces: no published number.

The recipe is the one we chose for LMA's ResNets, so that the rows of configs/attention and configs/lma
compare: SGD at 0.1 for a batch of 256, a tenth of it after epochs 30, 60 and 90 of 100. The learning
rate follows the effective batch size: on eight GPUs train_dataloader.batch_size=32 keeps it.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(type='mdvision.EMANet', depth=50, stem='imagenet', groups='imagenet'))

train_dataloader = dict(batch_size=256)
