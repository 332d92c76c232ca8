"""A fingerprint of a data set: two numbers are about the same data if their fingerprints are equal."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

__all__ = ['fingerprint']


def fingerprint(dataset: object) -> str | None:
    """Return 16 hexadecimal digits that depend on the images and the annotations of a data set.

    Of an image in a file, its name and its size in bytes count, not its folder; of one in memory, its pixels.
    The transforms do not count.

    Args:
        dataset: with ``get_data_info``, as those of MMEngine have it.

    Returns:
        the digits; None for a data set without ``get_data_info``.
    """
    if not hasattr(dataset, 'get_data_info'):
        return None
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = info.get('img_path')
        facts = {key: value for key, value in info.items() if key in ('gt_label', 'instances')}
        if path and Path(path).is_file():
            facts['file'] = Path(path).name, Path(path).stat().st_size
        elif 'img' in info:
            digest.update(np.ascontiguousarray(info['img']).tobytes())
        digest.update(json.dumps(facts, sort_keys=True, default=_plain).encode())
    return digest.hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, 'tolist') else str(value)
