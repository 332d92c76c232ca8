"""Arrays in RGB order to 32 x 32 pixels: crop, colour and flip for pre-training, resized for the rest."""

crop = [
    dict(
        type='RandomResizedCrop',
        scale=32,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
        backend='pillow',
    ),
    dict(type='NumpyToPIL'),
]
# Between the two: the colour augmentation of the model.
flip = [
    dict(type='PILToNumpy'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
resized = [
    dict(type='Resize', scale=(32, 32), interpolation='bicubic', backend='pillow'),
    dict(type='PackInputs'),
]
