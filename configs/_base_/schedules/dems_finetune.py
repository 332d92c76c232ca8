"""DEMS-ViT after pre-training: AdamW at 1e-3, a cosine to 1e-6, no warm-up, 100 epochs, batch 256.

The authors' rate is 1e-3 batch / 256, as auto_scale_lr makes it here. Weight decay acts on every
parameter, norms and biases too: the authors have a list of exceptions but do not use it. They train in
mixed precision, which --amp gives on a GPU, and keep the best test accuracy.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05)
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=100, eta_min=1e-6, by_epoch=True, begin=0, end=100)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
auto_scale_lr = dict(base_batch_size=256)
