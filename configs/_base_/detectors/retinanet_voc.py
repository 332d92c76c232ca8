"""RetinaNet with FPN on PASCAL VOC, 12 epochs; a config of a backbone adds that backbone."""

_base_ = ['../models/retinanet_fpn.py', '../datasets/voc0712.py', './train_1x.py']

# Half of Faster R-CNN's, as MMDetection has it.
optim_wrapper = dict(optimizer=dict(lr=0.00125))
