"""Divide images into splits so that every class is divided alike."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from mdvision.errors import UserError

from .form import AnnotatedImage

__all__ = ['split_images']


def split_images(images: Sequence[AnnotatedImage], shares: Mapping[str, float], seed: int) -> None:
    """Set the split of every image, by iterative stratification over the classes in it.

    The class that is in the fewest of the remaining images is divided first. Each of its images goes to the
    split that lacks most images of this class, of these to the one that lacks most images, of these to a
    random one. Images without objects come last. The result depends only on ids, classes and seed.

    Source: Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011.

    Args:
        images: the images; their boxes are settled.
        shares: {split: share of the images}; the shares sum to 1.
        seed: seed of the order and of the ties.

    Raises:
        UserError: a split would have no image.
    """
    rng = random.Random(seed)
    order = sorted(images, key=lambda image: image.id)
    rng.shuffle(order)
    labels = [frozenset(box.label for box in image.boxes) for image in order]
    left = Counter(label for names in labels for label in names)
    lacking = {split: share * len(order) for split, share in shares.items()}
    lacking_of = {(split, label): share * left[label] for split, share in shares.items() for label in left}
    waiting = dict.fromkeys(range(len(order)))
    while waiting:
        # Of equally rare classes, the first by name; a class is done when no image of it waits.
        label = min((name for name in left if left[name]), key=lambda name: (left[name], name), default=None)
        for index in [i for i in waiting if label is None or label in labels[i]]:
            wanted = [(lacking_of.get((split, label), 0), lacking[split]) for split in shares]
            best = [split for split, want in zip(shares, wanted, strict=True) if want == max(wanted)]
            order[index].split = split = rng.choice(best)
            del waiting[index]
            lacking[split] -= 1
            for name in labels[index]:
                left[name] -= 1
                lacking_of[split, name] -= 1
    empty = [split for split in shares if not any(image.split == split for image in order)]
    if empty:
        raise UserError(
            f'--split {" ".join(f"{share:g}" for share in shares.values())}: {len(order)} images leave '
            f'{" and ".join(empty)} without an image. Give larger shares, or fewer splits: --split 0.8 0.2 '
            'makes train and val.'
        )
