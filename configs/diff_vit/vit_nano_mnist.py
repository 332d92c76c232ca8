"""The plain nano ViT of NanoDiffVision's first MNIST table: 33,802 parameters.

    python tools/train.py configs/diff_vit/vit_nano_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of MNIST.
Reproduces: 95.51 % test accuracy, of the weights of the last epoch.

Patches of 7 pixels, width 32, 2 blocks, 2 heads; AdamW at 3e-4, cosine to 0 over 20 epochs, batch 128,
label smoothing 0.1. As the authors: a random 55,000 / 5,000 split with seed 42, the training images in
the same order in every epoch, no augmentation; the test images are judged by the weights of the last
epoch. Here the test images are the validation set, so that each epoch shows; the last epoch counts, and
only best_*.pth is chosen by them.
"""

_base_ = ['./_base_/vit_nano.py', '../_base_/datasets/mnist.py']

model = dict(
    backbone=dict(
        image_size=28,
        patch_size=7,
        in_channels=1,
        embed_dim=32,
        hidden_dim=128,
        depth=2,
        num_heads=2,
        drop_rate=0.1,
    ),
    neck=dict(hidden_channels=128),
)

train_dataloader = _base_.unshuffled
train_cfg = dict(max_epochs=20)
val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
