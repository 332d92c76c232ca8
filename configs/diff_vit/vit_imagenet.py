"""A small plain ViT on ImageNet, to compare with diff_vit_imagenet.py.

    python tools/train.py configs/diff_vit/vit_imagenet.py

Source: ours, in the size and with the recipe of DeiT-Ti.
Reproduces: no published number.

Patches of 16 pixels, width 192, 12 blocks, 3 heads: the size of DeiT-Ti. What NanoDiffVision's code
does by accident is put right here: no GELU and dropout on the logits, no GELU at the end of an MLP, no
unused norm. The recipe, after DeiT: AdamW at 2.5e-4 for a batch of 256, 5 epochs of warm-up, a cosine
to 1e-5 over 300 epochs, weight decay 0.05 but on norms and biases, mixup or cutmix of each batch, label
smoothing 0.1. The learning rate follows the effective batch size.
"""

_base_ = ['../_base_/datasets/imagenet.py', '../_base_/classification_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.DiffViT',
        attention='self',
        image_size=224,
        patch_size=16,
        in_channels=3,
        embed_dim=192,
        hidden_dim=768,
        depth=12,
        num_heads=3,
        drop_rate=0.0,
        key_bias=False,
        unused_norm=False,
        mlp_activation_out=False,
    ),
    neck=dict(
        type='mdvision.MLPLogits',
        in_channels=None,  # from the backbone
        hidden_channels=768,
        num_classes=None,  # from the data set
        activation_out=False,
        drop_rate=0.0,
        unused_norm=False,
    ),
    head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

train_dataloader = dict(batch_size=256)

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2.5e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=295, eta_min=1e-5, by_epoch=True, begin=5, end=300),
]
auto_scale_lr = dict(base_batch_size=256)

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
