"""CIFAR-10 as JPEG files at 32 x 32 pixels."""

_base_ = ['./at_32.py', '../../_base_/datasets/cifar10_jpeg.py']

# ImageNet's, as the authors take them.
data_preprocessor = dict(
    mean=[0.485 * 255, 0.456 * 255, 0.406 * 255],
    std=[0.229 * 255, 0.224 * 255, 0.225 * 255],
)
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=_base_.resized))
val_dataloader = dict(dataset=dict(pipeline=_base_.resized))
test_dataloader = val_dataloader

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
test_evaluator = val_evaluator
