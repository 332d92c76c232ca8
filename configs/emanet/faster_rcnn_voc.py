"""EMANet-50 Faster R-CNN with FPN on PASCAL VOC: 2007 + 2012 trainval to 2007 test.

    python tools/train.py configs/emanet/faster_rcnn_voc.py            # one GPU
    tools/dist_train.sh configs/emanet/faster_rcnn_voc.py 8            # eight

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.

12 epochs in batches of 2, see _base_/detectors/train_1x.py. EMANet has no published weights, so the
backbone starts from scratch with trainable batch norm; --backbone-from CHECKPOINT starts it with a
classifier of ours.

The paper reports AP 53.9 / AP50 84.8 / AP75 59.0 for its C4 form, from the weights of a detector
trained on VOC and on a random split: see faster_rcnn_c4_voc.py.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mdvision.EMANet',
        depth=50,
        stem='imagenet',
        groups='imagenet',
        out_indices=(0, 1, 2, 3),
    )
)
