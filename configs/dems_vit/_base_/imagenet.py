"""ImageNet at 256 x 256 pixels."""

_base_ = ['./at_256.py', '../../_base_/datasets/imagenet.py']

train_dataloader = dict(batch_size=256, dataset=dict(pipeline=_base_.resized))
val_dataloader = dict(dataset=dict(pipeline=_base_.resized))
test_dataloader = val_dataloader

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
