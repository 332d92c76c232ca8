"""Five epochs for a CPU: half a hundred steps of warm-up, then a cosine; validated once, at the end.

    train_cfg = _base_.five_epochs
    param_scheduler = _base_.five_epochs_scheduler
    train_dataloader = dict(batch_size=50, dataset=dict(holdout=45_000))

The last line leaves 5,000 of CIFAR-10's images, drawn at random once; the others are held out and not used.
"""

five_epochs = dict(max_epochs=5, val_interval=5)
five_epochs_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=5, convert_to_iter_based=True),
]
