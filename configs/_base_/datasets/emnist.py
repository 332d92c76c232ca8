"""EMNIST, split "mnist": trained on all 60,000 digits, validated and tested on the 10,000 of the test.

    data/emnist/emnist-mnist-train-images-idx3-ubyte.gz  emnist-mnist-train-labels-idx1-ubyte.gz
                emnist-mnist-test-images-idx3-ubyte.gz   emnist-mnist-test-labels-idx1-ubyte.gz

from gzip.zip of the EMNIST page of NIST, packed or unpacked; the folder gzip/ of the archive may stay.
The images are turned upright on reading. holdout and as_rgb as in mnist.py.
"""

_base_ = './mnist.py'

data_preprocessor = dict(mean=[0.5 * 255], std=[0.5 * 255])
_files = dict(type='mdvision.EMNIST', data_root='data/emnist')
train_dataloader = dict(dataset=_files)
val_dataloader = dict(dataset=_files)
test_dataloader = val_dataloader
