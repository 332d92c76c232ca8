"""DEMS-ViT-Ti from scratch: its recipe, and the colour augmentation whose probability is scheduled.

Jitter, greyscale and solarise have the same probability in an epoch, but each draws for itself.
'constant' is how the published weights were trained: the authors mean the probability to fall in half a
cosine, but their loader's workers keep the one of the first epoch. 'cosine' is what they mean:
--cfg-options custom_hooks.0.schedule=cosine.
"""

_base_ = ['./tiny.py', '../../_base_/schedules/dems_pretrain.py']

model = dict(backbone=dict(drop_path_rate=0.15, attn_drop_rate=0.05))

# torchvision's, because they act on RGB images; the host's own take every array for BGR.
colour = [
    dict(type='mdvision.ScheduledProbability', start=0.6, transform=transform)
    for transform in (
        dict(type='torchvision/ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1),
        dict(type='torchvision/RandomGrayscale', p=1.0),
        dict(type='torchvision/RandomSolarize', threshold=128, p=1.0),
    )
]
custom_hooks = [dict(type='mdvision.AugmentationScheduleHook', schedule='constant')]
