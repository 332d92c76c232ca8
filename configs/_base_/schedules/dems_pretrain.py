"""DEMS-ViT from scratch: AdamW at 5e-4, 10 epochs of warm-up, a cosine to 1e-6, 800 epochs, batch 256.

The authors' rate is 5e-4 batch / 256, as auto_scale_lr makes it here; their warm-up starts at 1e-6 and
their cosine ends there at any batch, while here a scaled run starts at 1e-6 batch / 256. The warm-up
reaches the full rate in its last epoch and the cosine begins with it, so two epochs have it.

Weight decay acts on every parameter, norms and biases too: the authors have a list of exceptions but
do not use it. They train in mixed precision (fp16 with loss scaling), which --amp gives on a GPU;
no gradient clipping, no average of weights. Their mixup needs an even batch; the host's does not.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.002, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=790, eta_min=1e-6, by_epoch=True, begin=10, end=800),
]
train_cfg = dict(by_epoch=True, max_epochs=800, val_interval=1)
auto_scale_lr = dict(base_batch_size=256)
