"""MobileNet, without MDNet's block, in Faster R-CNN with FPN on PASCAL VOC 2007 + 2012.

    python tools/train.py configs/mdnet/mobilenet_faster_rcnn_voc.py

Source: ours, MMDetection's Faster R-CNN with FPN and its 1x schedule.
Reproduces: no published number.
"""

_base_ = '../_base_/detectors/faster_rcnn_voc.py'

model = dict(
    backbone=dict(_delete_=True, type='mdvision.MDMobileNet', stem='imagenet', out_indices=(1, 2, 3, 4))
)
