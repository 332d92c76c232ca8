"""What MDNet's trainings on CIFAR share, whatever the network: loss, recipe and augmentation.

The smoothed targets sum to 1.001 and not to 1, as in the authors' code; those of the validation loss sum
to 1.
"""

_base_ = [
    '../../_base_/models/linear_classifier.py',
    '../../_base_/schedules/mdnet_cifar.py',
    '../../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(type='mdvision.MDNet'),
    head=dict(loss=dict(type='mdvision.UnnormalizedLabelSmoothLoss', label_smooth_val=0.1)),
)
crop_flip_rotate = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # torchvision's rotation by up to 15 degrees either way: nearest neighbour, zeros outside.
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandomRotation', degrees=15),
    dict(type='PILToNumpy'),
    dict(type='PackInputs'),
]
