"""A backbone with maps, their mean over all positions, a linear layer and cross-entropy.

A config adds its backbone and a data set: what is None here comes from these. The linear layer starts as
PyTorch initialises it; without init_cfg MMPretrain would take Normal(0.01).
"""

model = dict(
    type='ImageClassifier',
    neck=dict(type='mdvision.GlobalPool'),
    head=dict(
        type='LinearClsHead',
        in_channels=None,
        num_classes=None,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,
    ),
)
