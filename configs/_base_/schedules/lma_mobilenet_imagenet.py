"""MobileNetV2 on ImageNet, with and without LMA: SGD at 0.045, times 0.98 every epoch, 300 epochs, batch 256.

The authors say nothing about it. This is our choice: the recipe of torchvision's reference training, whose
71.88 % is the number of LMA's table for the plain network. Weight decay 4e-5 on every parameter, no warm-up.
"""

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.045, momentum=0.9, weight_decay=4e-5, nesterov=False),
)
param_scheduler = [dict(type='StepLR', step_size=1, gamma=0.98, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
auto_scale_lr = dict(base_batch_size=256)
