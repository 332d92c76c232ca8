"""MDNET on CIFAR-100 as its code trains it: AdamW at 1e-3, 200 epochs, batch 128.

Intended by the authors: 20 epochs of linear warm-up from 1e-6, then a cosine over 280 epochs to
1e-5, 300 epochs in all. What their code does, and this file too: the warm-up takes one step a batch and is
over after the first 20 batches; the rate stays at 1e-3 until epoch 19; from epoch 20 the cosine
takes one step an epoch, but training ends after 200, at 2.85e-4.

Their code also goes through the training data twice in every epoch (400 passes). To repeat that,
wrap the training set in dict(type='RepeatDataset', times=2, dataset=...). On resuming their
schedule starts anew; here it goes on. The best test accuracy counts, from epoch 121.
"""

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
)
param_scheduler = [
    # Batch i = 1, 2, ..., 20 has 1e-6 + (1e-3 - 1e-6) i / 20: the first 5.095e-5, the last 1e-3.
    dict(type='LinearLR', start_factor=0.05095, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=280, eta_min=1e-5, by_epoch=True, begin=18, end=200),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
auto_scale_lr = dict(base_batch_size=128)
