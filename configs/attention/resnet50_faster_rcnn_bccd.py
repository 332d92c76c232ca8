"""ResNet-50 Faster R-CNN with FPN on blood cells: what EMANet's is compared with.

    python tools/train.py configs/attention/resnet50_faster_rcnn_bccd.py

Source: ours, on Shenggan/BCCD_Dataset.
Reproduces: no published number.

As ../emanet/faster_rcnn_bccd.py in everything but the backbone. Both, over the same seeds:

    python tools/compare.py configs/attention/resnet50_faster_rcnn_bccd.py configs/emanet/faster_rcnn_bccd.py
"""

_base_ = '../emanet/faster_rcnn_bccd.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mdvision.AttentionResNet', depth=50, stem='imagenet', out_indices=(0, 1, 2, 3)
    )
)
