"""EMANet on CIFAR: SGD at 0.1, a cosine to 0 over 200 epochs, batch 120.

The rate changes once an epoch. Weight decay acts on every parameter; no warm-up, no Nesterov. The
authors report the best test accuracy over all epochs. On resuming, their schedule starts anew;
here it goes on.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=False)
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200, eta_min=0.0, by_epoch=True, begin=0, end=200)]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
auto_scale_lr = dict(base_batch_size=120)
