"""MDNet with a stem for large images, on ImageNet. The authors have neither the network nor a recipe for it.

    python tools/train.py configs/mdnet/mdnet_imagenet.py

A 3x3 convolution at stride 2 and a max-pool stand for the authors' 1x1 stem, which would keep all of
224 x 224. The recipe is that of mobilenet_v2_imagenet.py in configs/lma, our choice: SGD at 0.045 for a
batch of 256, 300 epochs. The rate follows the real batch. Not trained yet.
"""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/lma_mobilenet_imagenet.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.MDNet', stem='imagenet'),
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(
        type='LinearClsHead',
        in_channels=1280,
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,  # PyTorch's own
    ),
)

train_dataloader = dict(batch_size=256)
