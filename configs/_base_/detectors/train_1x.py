"""The usual 12 epochs with SGD: a rate of 0.0025 for a batch of 2, divided by 10 after epochs 8 and 11.

Over VOC 2007 + 2012 trainval on one GPU that is 16,551 images in batches of 2, 99,312 iterations. The rate
follows the real batch (auto_scale_lr).
"""

_base_ = '../detection_runtime.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0025, momentum=0.9, weight_decay=1e-4),
    # From scratch the first steps of the box losses are large.
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=2)
