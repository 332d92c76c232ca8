"""EMANet-50 on mini-ImageNet as the authors train it: 20,261,551 parameters.

    python tools/train.py configs/emanet/emanet50_mini_imagenet.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), its code and recipe of mini-ImageNet.
Reproduces: no published number.

SGD at 0.1, a tenth of it every 30 epochs, 120 epochs, batch 32, weight decay 1e-4; random resized crop
to 224 and flip; tested on the centre 224 of 256. Their mini-ImageNet network has a group norm in its
spatial gate.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/emanet_mini.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(
        type='mdvision.EMANet', depth=50, stem='imagenet', groups='imagenet', spatial_group_norm=True
    ),
)

train_dataloader = dict(batch_size=32)
val_dataloader = dict(batch_size=32)
test_dataloader = val_dataloader
