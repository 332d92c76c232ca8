"""COCO's files are looked for first: the host's own error names neither their source nor the layout."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mdvision.errors import UserError

__all__ = ['check_coco_files']


def check_coco_files(cfg: Config) -> None:
    """Every annotation file and image folder of the ``CocoDataset``s of a config must be there.

    Raises:
        UserError: with what is missing, where it comes from and how it is laid out.
    """
    for split in ('train', 'val', 'test'):
        for dataset in _parts((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
            if str(dataset.get('type')).rpartition('.')[2] != 'CocoDataset':
                continue
            root = Path(dataset.get('data_root') or '')
            wanted = [dataset.get('ann_file'), (dataset.get('data_prefix') or {}).get('img')]
            missing = [name for name in wanted if name and not (root / name).exists()]
            if missing:
                names = ' and no '.join(str(root / name) for name in missing)
                raise UserError(
                    f'CocoDataset ({split}): there is no {names} (from {Path.cwd()}).\n'
                    '  get it from: https://cocodataset.org, 2017 train and val images and annotations; '
                    'mdvision downloads no data\n'
                    f'  layout: {root}/annotations/instances_train2017.json, {root}/train2017/*.jpg, and '
                    'val2017 likewise\n'
                    '  data elsewhere: --cfg-options data_root=FOLDER'
                )


def _parts(dataset: dict | None) -> Iterator[dict]:
    """The data sets in a data set and its wrappers."""
    if not dataset:
        return
    inner = [*(dataset.get('datasets') or []), dataset.get('dataset')]
    if any(inner):
        for one in inner:
            yield from _parts(one)
    else:
        yield dataset
