"""How strongly DEMS-ViT's pretraining augments an image, epoch by epoch."""

import math

__all__ = ['augmentation_probability']


def augmentation_probability(epoch: int, max_epochs: int, start: float) -> float:
    """Return half a cosine from ``start`` down to 0: ``start / 2 (1 + cos(pi epoch / max_epochs))``.

    This is the probability of each of DEMS-ViT's color jitter, grayscale and solarize in that epoch
    (visresearch/dems): start 0.6 for the tiny model, 0.8 for the small one, 800 epochs.

    This is what the authors intend. In their code the probability is constant: the data workers persist and
    keep the transform of the first epoch, so the published weights were trained at ``start`` throughout
    (after a resume, at the value of the resumed epoch).

    Args:
        epoch: from 0.
        max_epochs: length of the training run.
        start: probability in epoch 0.
    """
    return start / 2 * (1 + math.cos(math.pi * epoch / max_epochs))
