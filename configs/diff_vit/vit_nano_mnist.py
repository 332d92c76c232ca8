"""The plain nano ViT of NanoDiffVision's first MNIST table: 33,802 parameters, 95.51 % published.

    python tools/train.py configs/diff_vit/vit_nano_mnist.py

Patches of 7 pixels, width 32, 2 blocks, 2 heads; AdamW at 3e-4, cosine to 0 over 20 epochs, batch
128, label smoothing 0.1. As the authors: a random 55,000 / 5,000 split with seed 42, the training
images in the same order in every epoch, no augmentation; the test images are judged by the weights
of the last epoch. Here the test images are the validation set, so that each epoch shows; the last
epoch counts, and only best_*.pth is chosen by them.

About 4 minutes on two CPU cores. Our numbers: docs/reproduce.md.
"""

_base_ = [
    '../_base_/datasets/mnist.py',
    '../_base_/schedules/nano_diff_vit.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.DiffViT',
        attention='self',
        image_size=28,
        patch_size=7,
        in_channels=1,
        embed_dim=32,
        hidden_dim=128,
        depth=2,
        num_heads=2,
        drop_rate=0.1,
    ),
    neck=dict(type='mdvision.MLPLogits', in_channels=32, hidden_channels=128, num_classes=10),
    head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
)

train_dataloader = dict(
    batch_size=128,
    sampler=dict(shuffle=False),
    dataset=dict(holdout=5000, holdout_seed=42),
)
train_cfg = dict(max_epochs=20)
# The authors' rate does not depend on the batch.
auto_scale_lr = dict(enable=False, base_batch_size=128)

# With the smoothing of the training loss, so that the two can be compared.
val_evaluator = [_base_.val_evaluator[0], dict(type='mdvision.ClassificationLoss', label_smoothing=0.1)]
test_evaluator = val_evaluator
