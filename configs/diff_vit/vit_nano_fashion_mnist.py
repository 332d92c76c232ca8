"""The plain nano ViT of NanoDiffVision's first FashionMNIST table: 33,802 parameters, 85.86 % published.

    python tools/train.py configs/diff_vit/vit_nano_fashion_mnist.py

As vit_nano_mnist.py, with 30 epochs: the network, the batch of 128, AdamW at 3e-4 with a cosine to 0,
label smoothing 0.1, 55,000 training images in the same order in every epoch, no augmentation. The
weights of the last epoch count; the test images are shown after each epoch, and no choice is made by
them.

About 6 minutes on two CPU cores.
"""

_base_ = [
    '../_base_/datasets/fashion_mnist.py',
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
train_cfg = dict(max_epochs=30)
# The authors' rate does not depend on the batch.
auto_scale_lr = dict(enable=False, base_batch_size=128)
