# What every detection config of ours shares.
_base_ = './runtime.py'

default_scope = 'mmdet'
# 'voc12/mAP50' is the VOC AP (area under the curve) at IoU 0.5.
default_hooks = dict(
    checkpoint=dict(save_best='voc12/mAP50'),
    visualization=dict(type='DetVisualizationHook'),
)
visualizer = dict(type='DetLocalVisualizer', vis_backends={{_base_.vis_backends}}, name='visualizer')

# The table of classes is shown once, at the end of a run.
val_evaluator = dict(type='mdvision.DetectionMetric', print_table=False)
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1)
# With the loss of the validation images; loss_images=0 leaves it out.
val_cfg = dict(type='mdvision.DetectionValLoop', loss_images=None)
test_cfg = dict(type='TestLoop')
