"""EMANet-50 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/emanet/faster_rcnn_voc.py            # one GPU
    tools/dist_train.sh configs/emanet/faster_rcnn_voc.py 8            # eight

Schedule for one GPU: 12 epochs over 16,551 images in batches of 2 (99,312 iterations), learning
rate 0.0025, divided by 10 after epochs 8 and 11. The rate is given for a batch of 2 and follows the
real batch (auto_scale_lr). EMANet has no published weights, so the backbone starts from scratch with
trainable batch norm; a checkpoint of ours starts it with
model.backbone.init_cfg="{'type': 'Pretrained', 'checkpoint': PATH, 'prefix': 'backbone.'}".

Not trained yet. The paper reports AP 53.9 / AP50 84.8 / AP75 59.0 for its C4 form, from the weights
of a detector trained on VOC and on a random split: see faster_rcnn_c4_voc.py.
"""

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/voc0712.py',
    '../_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.EMANet',
        depth=50,
        stem='imagenet',
        groups='imagenet',
        out_indices=(0, 1, 2, 3),
    ),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0025, momentum=0.9, weight_decay=1e-4),
    # From scratch the first steps of the box losses are large.
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=2)
