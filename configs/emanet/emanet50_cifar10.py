"""EMANet-50 on CIFAR-10: 21,191,061 parameters.

    python tools/train.py configs/emanet/emanet50_cifar10.py

Source: EMANet (Xsmile-love/pytorch-emanet-master), table of CIFAR-10.
Reproduces: 95.61 % top-1, the best of all epochs on the test images.

SGD at 0.1, momentum 0.9, weight decay 5e-4, a cosine to 0 over 200 epochs, batch 120, random crop and
flip. The learning rate is given for a batch of 120 and follows the effective batch size
(auto_scale_lr).

The other rows of the comparison, under the same recipe, are in configs/attention.
"""

_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/emanet_cifar.py',
    '../_base_/classification_runtime.py',
]

model = dict(backbone=dict(type='mdvision.EMANet', depth=50, stem='cifar', groups='cifar'))

train_dataloader = dict(batch_size=120)
val_dataloader = dict(batch_size=100)
test_dataloader = val_dataloader
