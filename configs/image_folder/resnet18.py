"""ResNet-18 on images of your own, one folder per class, from scratch.

    python tools/train.py configs/image_folder/resnet18.py --cfg-options data_root=/my/pictures

Source: ours.
Reproduces: no published number.

    /my/pictures/train/cat/*.jpg  train/dog/*.jpg
                 val/cat/*.jpg    val/dog/*.jpg

data_root, which defaults to data/pictures, is all that is needed: the classes are the folders of train,
in order of their names, and the number of logits is theirs. The config that a run leaves in its work
dir has both in it.

SGD at 0.0125 for a batch of 32, which it follows (auto_scale_lr), one epoch of warm-up, a cosine to 0
over 50 epochs.

Another attention: --cfg-options model.backbone.attention="{'type': 'mdvision.SqueezeExcite'}".

For images as small as CIFAR's, all of these: the stem that does not make them smaller still, crops of
32 pixels in training, and in validation the middle 32 of 36.

    --cfg-options model.backbone.stem=cifar train_dataloader.dataset.pipeline.1.scale=32
        val_dataloader.dataset.pipeline.1.scale=36 val_dataloader.dataset.pipeline.2.crop_size=32
        test_dataloader.dataset.pipeline.1.scale=36 test_dataloader.dataset.pipeline.2.crop_size=32
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/image_folder.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(type='mdvision.AttentionResNet', depth=18, stem='imagenet'))

max_epochs = 50
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.0125, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=max_epochs - 1, by_epoch=True, begin=1, end=max_epochs),
]
auto_scale_lr = dict(base_batch_size=32)
