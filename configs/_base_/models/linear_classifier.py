"""A backbone with maps, their mean over all positions, a linear layer and cross-entropy.

A config adds its backbone, and in_channels and num_classes of the head. The linear layer starts as PyTorch
initialises it; without init_cfg the host would take Normal(0.01).
"""

model = dict(
    type='ImageClassifier',
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(type='LinearClsHead', loss=dict(type='CrossEntropyLoss'), init_cfg=None),
)
