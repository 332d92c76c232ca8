"""EPSANet-50 on CIFAR-10: 20,525,525 parameters.

    python tools/train.py configs/attention/epsanet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 95.32 % top-1, the best of all epochs on the test images.

The authors' file has 1000 classes, the table's count of parameters is that of 10. The recipe of
emanet50_cifar10.py.
"""

_base_ = './resnet50_cifar10.py'

model = dict(backbone=dict(conv2=dict(type='mdvision.PyramidSplitAttention')))
