"""Image files to 256 x 256 pixels, the shorter side to 300 and the centre where nothing is augmented.

The authors mean the same for testing, but their code compares the name of the data set in another letter
case, only resizes the shorter side to 256 and then fails on every image that is not square.
"""

crop = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=256,
        crop_ratio_range=(0.2, 1.0),
        interpolation='bicubic',
        backend='pillow',
    ),
    dict(type='NumpyToPIL', to_rgb=True),
]
# Between the two: the colour augmentation of the model.
flip = [
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
resized = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=300, edge='short', interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackInputs'),
]
