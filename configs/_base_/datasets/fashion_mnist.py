"""Fashion-MNIST: trained on all 60,000 images, validated and tested on the 10,000 test images, unchanged.

    data/fashion_mnist/train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz
                       t10k-images-idx3-ubyte.gz   t10k-labels-idx1-ubyte.gz

from the fashion-mnist repository of Zalando Research, packed or unpacked. The files are named as
MNIST's: keep the two in folders of their own. holdout and as_rgb as in mnist.py.
"""

_base_ = './mnist.py'

data_preprocessor = dict(mean=[0.5 * 255], std=[0.5 * 255])
_files = dict(type='mdvision.FashionMNIST', data_root='data/fashion_mnist')
train_dataloader = dict(dataset=_files)
val_dataloader = dict(dataset=_files)
test_dataloader = val_dataloader
