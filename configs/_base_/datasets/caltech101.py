"""Caltech-101, 102 classes with the background: 30 images of each in training, the others in the test.

    data/caltech101/101_ObjectCategories/accordion/image_0001.jpg ...

from caltech-101.zip of CaltechDATA, California Institute of Technology. There is no official split: the
30 are drawn once with split_seed=0. train_per_class=None reads meta/train.txt and meta/test.txt instead.
"""

_base_ = './imagenet.py'

_files = dict(type='mdvision.Caltech101', data_root='data/caltech101', train_per_class=30)
train_dataloader = dict(dataset=_files)
val_dataloader = dict(dataset=dict(split='test', **_files))
test_dataloader = val_dataloader
