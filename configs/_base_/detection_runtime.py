# What every detection config of ours shares beyond mmdet's runtime.
_base_ = 'mmdet::_base_/default_runtime.py'

# The best checkpoint and the last two: mmengine deletes the oldest before it writes the new one, so with
# one alone a run killed in that moment would have nothing to resume from.
# 'voc12/mAP50' is the VOC AP (area under the curve) at IoU 0.5.
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(max_keep_ckpts=2, save_best='voc12/mAP50', rule='greater'),
)
randomness = dict(seed=0)

# The table of classes is shown once, at the end of a run.
val_evaluator = dict(type='mdvision.DetectionMetric', print_table=False)
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
