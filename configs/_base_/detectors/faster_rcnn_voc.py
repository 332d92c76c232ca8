"""Faster R-CNN with FPN on PASCAL VOC, 12 epochs; a config of a backbone adds that backbone."""

_base_ = ['../models/faster_rcnn_fpn.py', '../datasets/voc0712.py', './train_1x.py']
