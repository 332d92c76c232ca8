"""The demo: a narrow, shallow EMANet Faster R-CNN on a generated data set in VOC format.

    python tools/train.py configs/emanet/faster_rcnn_minivoc.py

Source: ours.
Reproduces: no published number.
"""

_base_ = [
    '../_base_/models/faster_rcnn_fpn.py',
    '../_base_/datasets/detection_pipelines.py',
    '../_base_/detection_runtime.py',
]

classes = ('circle', 'cross', 'triangle')

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.EMANet',
        # Depth 50 means bottlenecks here: one a stage, a quarter of the usual width.
        depth=50,
        stage_blocks=(1, 1, 1, 1),
        base_channels=16,
        gate_reduction=4,
        groups=((1, 2, 4, 4), (1, 2, 4, 8), (1, 2, 4, 8), (16, 16, 16, 16)),
        out_indices=(0, 1, 2, 3),
    ),
    # From scratch, a neck and a head with norms learn much faster than mmdet's without.
    neck=dict(out_channels=64, num_outs=4, norm_cfg=dict(type='BN')),
    rpn_head=dict(
        feat_channels=64,
        anchor_generator=dict(scales=[4]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=1), finest_scale=28),
        bbox_head=dict(
            _delete_=True,
            type='ConvFCBBoxHead',
            num_shared_convs=1,
            num_shared_fcs=1,
            in_channels=None,
            conv_out_channels=64,
            fc_out_channels=256,
            norm_cfg=dict(type='BN'),
            num_classes=None,
            reg_class_agnostic=True,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(160, 120), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 120), keep_ratio=True),
    *_base_.boxes_after_resize,
]

dataset = dict(
    type='mdvision.MiniVOCDataset',
    data_root='data/mini_voc',
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='ImageSets/Main/train.txt', pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='ImageSets/Main/val.txt', test_mode=True, pipeline=test_pipeline, **dataset),
)
test_dataloader = val_dataloader

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=4)
