"""EMANet on mini-ImageNet: SGD at 0.1, a tenth every 30 epochs, 120 epochs, batch 32.

Weight decay acts on every parameter; no warm-up, no Nesterov.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)
)
param_scheduler = [dict(type='StepLR', step_size=30, gamma=0.1, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=120, val_interval=1)
auto_scale_lr = dict(base_batch_size=32)
