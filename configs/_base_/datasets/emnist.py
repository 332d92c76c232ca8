"""EMNIST, split "mnist": trained on all 60,000 digits, validated and tested on the 10,000 of the test.

    data/emnist/emnist-mnist-train-images-idx3-ubyte.gz  emnist-mnist-train-labels-idx1-ubyte.gz
                emnist-mnist-test-images-idx3-ubyte.gz   emnist-mnist-test-labels-idx1-ubyte.gz

from gzip.zip of the EMNIST page of NIST, packed or unpacked; the folder gzip/ of the archive may stay.
The images are turned upright on reading. holdout and as_rgb as in mnist.py.
"""

data_preprocessor = dict(num_classes=10, mean=[0.5 * 255], std=[0.5 * 255], to_rgb=False)

train_pipeline = [dict(type='PackInputs')]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.EMNIST',
        data_root='data/emnist',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.EMNIST',
        data_root='data/emnist',
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
