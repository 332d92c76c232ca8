"""The BCCD detector at half size and a quarter of the width: for a CPU, or to try something.

    python tools/train.py configs/emanet/faster_rcnn_bccd_cpu.py

Source: ours, on Shenggan/BCCD_Dataset.
Reproduces: no published number.

12 epochs. docs/comparisons/bccd.md compares it with a ResNet of the same size.
"""

_base_ = './faster_rcnn_bccd.py'

image_scale = (320, 240)

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1), gate_reduction=4, groups=(1, 2, 4, 4)),
    neck=dict(out_channels=64, norm_cfg=dict(type='BN')),
    rpn_head=dict(feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(fc_out_channels=256),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)

train_pipeline, test_pipeline = (
    [dict(step, scale=image_scale) if step.type == 'Resize' else step for step in pipeline]
    for pipeline in (_base_.train_pipeline, _base_.test_pipeline)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
