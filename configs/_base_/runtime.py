# What every run of ours has, whichever host it is for: hooks, logs, environment, seed.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # A line every 20 iterations; in short epochs at least four, or one an iteration.
    logger=dict(type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best checkpoint and the last two.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# scalars.json, which tools/compare.py reads, and `tensorboard --logdir WORK_DIR`.
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
