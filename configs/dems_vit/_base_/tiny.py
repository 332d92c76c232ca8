"""DEMS-ViT-Ti and its loss, for 32 x 32 pixels: mixup or cutmix on every batch, smoothing 0.1.

Each batch is mixed in one of the two ways, each with probability 1/2, by one ratio for all its images.
A target is 0.9 y + 0.1 / classes with the mixed labels y, and the loss its cross-entropy. The partner of
an image is drawn at random from the batch; the authors' is the one at its mirrored place.
"""

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mdvision.DEMSViT',
        image_size=32,
        patch_size=2,
        embed_dim=192,
        num_heads=3,
        merge_counts=(64, 64),
    ),
    head=dict(
        type='LinearClsHead',
        in_channels=None,  # from the backbone
        num_classes=None,  # from the data set
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, a=-2.0, b=2.0),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
