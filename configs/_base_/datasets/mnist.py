"""MNIST: trained on all 60,000 images, validated and tested on the 10,000 test images, unchanged.

    data/mnist/train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz
               t10k-images-idx3-ubyte.gz   t10k-labels-idx1-ubyte.gz

as they come from the MNIST page of Yann LeCun, packed or unpacked. For a validation split out of the
training images: dataset=dict(split='train', holdout=5000) in training, dict(split='val', holdout=5000)
in validation. dict(as_rgb=True) gives three equal channels; data_preprocessor needs three means then.
"""

_base_ = './smoothed_loss.py'

data_preprocessor = dict(
    num_classes=None,  # from the data set
    mean=[0.1307 * 255],
    std=[0.3081 * 255],
    to_rgb=False,
)

train_pipeline = [dict(type='PackInputs')]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mdvision.MNIST',
        data_root='data/mnist',
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
        type='mdvision.MNIST',
        data_root='data/mnist',
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

accuracy = dict(type='Accuracy', topk=(1,))
val_evaluator = [accuracy, dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
