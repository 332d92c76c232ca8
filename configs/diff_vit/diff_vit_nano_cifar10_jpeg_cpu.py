"""The differential ViT on 5,000 images of CIFAR-10 compressed as JPEG: learns on a CPU.

    python tools/train.py configs/diff_vit/diff_vit_nano_cifar10_jpeg_cpu.py

The network of diff_vit_nano_cifar10_jpeg.py at its full size, the images shuffled.
Five epochs; what it reached, and in what time, is in docs/reproduce.md.
"""

_base_ = './diff_vit_nano_cifar10_jpeg.py'

# 5,000 images, drawn at random once; the rest of the training set is held out and not used.
train_dataloader = dict(batch_size=50, sampler=dict(shuffle=True), dataset=dict(holdout=45_000))

train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
