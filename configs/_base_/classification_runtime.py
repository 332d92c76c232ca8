# What every classification config of ours shares; the metrics come with the data set.
_base_ = './runtime.py'

default_scope = 'mmpretrain'
default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1'),
    visualization=dict(type='VisualizationHook', enable=False),
)
visualizer = dict(type='UniversalVisualizer', vis_backends={{_base_.vis_backends}})
