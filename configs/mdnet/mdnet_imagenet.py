"""MDNet with a stem for large images, on ImageNet.

    python tools/train.py configs/mdnet/mdnet_imagenet.py

Source: ours, MDNet with a stem for large images.
Reproduces: no published number.

A 3x3 convolution at stride 2 and a max-pool stand for the authors' 1x1 stem, which would keep all of
224 x 224. The recipe is that of mobilenet_v2_imagenet.py in configs/lma, our choice: SGD at 0.045 for a
batch of 256, 300 epochs. The learning rate follows the effective batch size.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_mobilenet_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(type='mdvision.MDNet', stem='imagenet'))

train_dataloader = dict(batch_size=256)
