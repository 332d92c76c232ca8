"""The validation loss of a classifier that is trained with label smoothing.

val_evaluator = [_base_.accuracy, _base_.smoothed_loss]
"""

# With the smoothing of the training loss, so that the two can be compared.
smoothed_loss = dict(type='mdvision.ClassificationLoss', label_smoothing=0.1)
