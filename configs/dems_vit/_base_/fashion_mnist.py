"""FashionMNIST at 32 x 32 pixels, the grey images as three equal channels."""

_base_ = ['./at_32.py', '../../_base_/datasets/fashion_mnist.py']

data_preprocessor = dict(mean=[0.5 * 255] * 3, std=[0.5 * 255] * 3)
train_dataloader = dict(batch_size=256, dataset=dict(as_rgb=True, pipeline=_base_.resized))
val_dataloader = dict(dataset=dict(as_rgb=True, pipeline=_base_.resized))
test_dataloader = val_dataloader

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
