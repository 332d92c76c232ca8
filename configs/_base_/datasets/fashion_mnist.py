"""Fashion-MNIST: trained on all 60,000 images, validated and tested on the 10,000 test images, unchanged.

    data/fashion_mnist/train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz
                       t10k-images-idx3-ubyte.gz   t10k-labels-idx1-ubyte.gz

from the fashion-mnist repository of Zalando Research, packed or unpacked. The files are named as
MNIST's: keep the two in folders of their own. holdout and as_rgb as in mnist.py.
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
        type='mdvision.FashionMNIST',
        data_root='data/fashion_mnist',
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
        type='mdvision.FashionMNIST',
        data_root='data/fashion_mnist',
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='mdvision.ClassificationLoss')]
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
