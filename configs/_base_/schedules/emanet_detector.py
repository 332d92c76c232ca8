"""EMANet's detector: Adam at 1e-4, three epochs up along a square, a cosine to a hundredth, 100 epochs.

Epochs 0 to 3 go from a tenth of the rate to the full one, the cosine reaches a hundredth of it in
epoch 95, where it stays. The number of epochs is left to the config: train_cfg = dict(max_epochs=100).

The authors' rate is batch / 16 of a base rate, clamped to exactly 1e-4 for Adam, so the batch has no
effect. Their alternative is SGD with Nesterov momentum 0.9 at 1e-2 batch / 16, clamped to 5e-4 to
5e-2 (2.5e-3 at the batch of 4 of the first 50 epochs, when the extractor is frozen); the same
param_scheduler serves it.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0)
)
param_scheduler = [
    dict(
        type='mdvision.PolyWarmupLR',
        start_factor=0.1,
        power=2.0,
        by_epoch=True,
        begin=0,
        end=4,
    ),
    # It takes over at the full rate of epoch 3; end is the epoch after its last step.
    dict(type='CosineAnnealingLR', T_max=92, eta_min_ratio=0.01, by_epoch=True, begin=3, end=96),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
