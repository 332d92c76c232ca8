"""DEMS-ViT-S on CIFAR-10 from scratch, augmented less and less, as its authors mean it.

    python tools/train.py configs/dems_vit/dems_vit_small_corrected_cifar10.py

Source: DEMS-ViT (visresearch/dems), as its text means and its code does not.
Reproduces: no published number.

The probability of the colour augmentation falls in half a cosine from 0.8 to 0. In the authors' code it
stays where it starts, as in dems_vit_small_cifar10.py, which is the published training.
"""

_base_ = './dems_vit_small_cifar10.py'

custom_hooks = [dict(type='mdvision.AugmentationScheduleHook', schedule='cosine')]
