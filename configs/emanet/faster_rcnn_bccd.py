"""EMANet-50 Faster R-CNN with FPN on blood cells (BCCD): how a data set of one's own is written.

    python tools/train.py configs/emanet/faster_rcnn_bccd.py

Source: ours, on Shenggan/BCCD_Dataset.
Reproduces: no published number.

BCCD (Shenggan/BCCD_Dataset, MIT) is a folder in VOC format with three classes of its own, which is all
that a data set of yours needs: set data_root and classes below, and num_classes follows.

    data/bccd/{Annotations,ImageSets/Main/{train,val}.txt,JPEGImages}

205 training and 87 validation images of 640 x 480. Schedule for one GPU: 60 epochs in batches of 4
(3,120 iterations), from scratch. For a CPU there is faster_rcnn_bccd_cpu.py.
"""

_base_ = [
    '../_base_/models/faster_rcnn_fpn.py',
    '../_base_/datasets/detection_pipelines.py',
    '../_base_/detection_runtime.py',
]

# --- what you change for your own data ---------------------------------------------------------
data_root = 'data/bccd'
classes = ('RBC', 'WBC', 'Platelets')
image_scale = (640, 480)  # width, height that images are resized to fit in
# -----------------------------------------------------------------------------------------------

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.EMANet',
        depth=50,
        stem='imagenet',
        groups='imagenet',
        out_indices=(0, 1, 2, 3),
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    *_base_.boxes_after_resize,
]
dataset = dict(type='mdvision.VOCDataset', data_root=data_root, metainfo=dict(classes=classes))

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='ImageSets/Main/train.txt', pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='ImageSets/Main/val.txt', test_mode=True, pipeline=test_pipeline, **dataset),
)
test_dataloader = val_dataloader

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=4)
