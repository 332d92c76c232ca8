"""The size of the images with which a config tests."""

from mmengine.config import Config

from .tree import find_datasets, type_name

__all__ = ['image_size', 'padded']


def image_size(cfg: Config) -> tuple[int, int] | None:
    """Return the (height, width) that the test pipeline produces; None if it sets no size.

    The input is an image of the same shape.
    """
    split = 'test' if cfg.get('test_dataloader') else 'val'
    dataset = next(find_datasets(cfg, (split,)), {})
    size = None
    for step in dataset.get('pipeline') or []:
        name = type_name(step)
        if name == 'Resize' and step.get('scale'):
            scale = step['scale']
            size = (scale, scale) if isinstance(scale, int) else (scale[1], scale[0])  # given as (w, h)
        elif name == 'CenterCrop' and step.get('crop_size'):
            crop = step['crop_size']
            size = (crop, crop) if isinstance(crop, int) else tuple(crop)
    return size


def padded(cfg: Config, size: tuple[int, int]) -> tuple[int, int]:
    """Return a (height, width) as the data preprocessor pads it."""
    divisor = (cfg.model.get('data_preprocessor') or {}).get('pad_size_divisor', 1)
    return tuple(-(-side // divisor) * divisor for side in size)
