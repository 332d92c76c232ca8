# PASCAL VOC: trained on 2007 + 2012 trainval, tested on 2007 test, images within 1000 x 600.
#
#   data/VOCdevkit/VOC2007/{Annotations,ImageSets/Main,JPEGImages}
#   data/VOCdevkit/VOC2012/{Annotations,ImageSets/Main,JPEGImages}
#
# from http://host.robots.ox.ac.uk/pascal/VOC (VOC2007 trainval and test, VOC2012 trainval).
_base_ = './detection_pipelines.py'

classes = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
    'tvmonitor',
)  # fmt: skip
metainfo = dict(classes=classes)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1000, 600), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1000, 600), keep_ratio=True),
    *_base_.boxes_after_resize,
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='mdvision.VOCDataset',
                data_root=f'data/VOCdevkit/{year}',
                ann_file='ImageSets/Main/trainval.txt',
                metainfo=metainfo,
                pipeline=train_pipeline,
            )
            for year in ('VOC2007', 'VOC2012')
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mdvision.VOCDataset',
        data_root='data/VOCdevkit/VOC2007',
        ann_file='ImageSets/Main/test.txt',
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
