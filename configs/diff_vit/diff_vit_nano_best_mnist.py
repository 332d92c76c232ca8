"""The best differential nano ViT of at most 38.1 K parameters that we know, 20 epochs: 32,138 parameters.

    python tools/train.py configs/diff_vit/diff_vit_nano_best_mnist.py

Source: ours, after the first table of MNIST of NanoDiffVision (eithannak29/NanoDiffVision).
Reproduces: no published number.

Against diff_vit_nano_legacy_mnist.py the architecture is corrected (a norm for each head and the factor
1 - l0, layers counted from 1, plain logits, no GELU at the end of an MLP, nothing unused) and finer:
patches of 4 pixels, 3 blocks of width 32. The recipe is a usual one: shuffled images, shifts of up to 2
pixels, AdamW at 3e-3 with one epoch of warm-up, no dropout. The data is the same: 55,000 training
images, the weights of the last epoch.
"""

_base_ = './vit_nano_mnist.py'

model = dict(
    backbone=dict(
        attention='differential',
        patch_size=4,
        hidden_dim=48,
        depth=3,
        drop_rate=0.0,
        layer_index_start=1,
        head_norm=True,
        mlp_activation_out=False,
        unused_norm=False,
    ),
    neck=dict(hidden_channels=32, drop_rate=0.0, activation_out=False, unused_norm=False),
)

train_pipeline = [dict(type='RandomCrop', crop_size=28, padding=2), dict(type='PackInputs')]
train_dataloader = dict(sampler=dict(shuffle=True), dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True, begin=1, end=20, convert_to_iter_based=True),
]
auto_scale_lr = dict(_delete_=True, base_batch_size=128)
