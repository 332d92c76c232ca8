"""LMA's ResNets on ImageNet, and all that is compared with them: SGD at 0.1, 100 epochs, batch 256.

The authors publish no recipe. Their curves fall after epochs 30, 60 and 90 of 100, which fixes the steps;
the rest is our choice, the recipe that ResNets are usually given: learning rate 0.1 for a batch of 256,
momentum 0.9, weight decay 1e-4 on every parameter, no warm-up, a tenth of the rate at each step.
"""

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)
)
param_scheduler = [dict(type='MultiStepLR', milestones=[30, 60, 90], gamma=0.1, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
auto_scale_lr = dict(base_batch_size=256)
