"""NanoDiffVision's plain ViT without its size, its loss and its recipe."""

_base_ = ['../../_base_/schedules/nano_diff_vit.py', '../../_base_/classification_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mdvision.DiffViT', attention='self'),
    neck=dict(type='mdvision.MLPLogits', in_channels=None, num_classes=None),  # from backbone and data
    head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
)
# The authors' rate does not depend on the batch.
auto_scale_lr = dict(enable=False, base_batch_size=128)
# As the authors: 5,000 images held out at random, the others in the same order in every epoch.
unshuffled = dict(batch_size=128, sampler=dict(shuffle=False), dataset=dict(holdout=5000, holdout_seed=42))
