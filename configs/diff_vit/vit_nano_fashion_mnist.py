"""The plain nano ViT of NanoDiffVision's first FashionMNIST table: 33,802 parameters.

    python tools/train.py configs/diff_vit/vit_nano_fashion_mnist.py

Source: NanoDiffVision (eithannak29/NanoDiffVision), first table of FashionMNIST.
Reproduces: 85.86 % test accuracy, of the weights of the last epoch.

As vit_nano_mnist.py, with 30 epochs: the network, the batch of 128, AdamW at 3e-4 with a cosine to 0,
label smoothing 0.1, 55,000 training images in the same order in every epoch, no augmentation. The
weights of the last epoch count; the test images are shown after each epoch, and only best_*.pth is
chosen by them.
"""

_base_ = './vit_nano_mnist.py'

data_preprocessor = dict(mean=[0.5 * 255], std=[0.5 * 255])
_files = dict(type='mdvision.FashionMNIST', data_root='data/fashion_mnist')
train_dataloader = dict(dataset=_files)
val_dataloader = dict(dataset=_files)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=30)
