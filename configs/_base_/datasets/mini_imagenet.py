"""mini-ImageNet as classification: 100 classes, each cut 480 : 120 as MiniImageNet's docstring says.

    data/mini_imagenet/train.csv val.csv test.csv images/n0153282900000005.jpg ...

The images are from image-net.org, the csv files come with the split of Ravi and Larochelle (2017).
"""

_base_ = './imagenet.py'

_files = dict(type='mdvision.MiniImageNet', data_root='data/mini_imagenet')
train_dataloader = dict(batch_size=32, dataset=_files)
val_dataloader = dict(batch_size=32, dataset=_files)
test_dataloader = val_dataloader
