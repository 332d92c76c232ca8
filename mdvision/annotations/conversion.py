"""Convert a data set: read, settle, split, write, read back, and only then put it in its place."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mdvision.console import import_upstream
from mdvision.errors import UserError
from mdvision.text import aligned

from . import box_table, coco, cvat, labelme, voc, yolo
from .form import SPLITS, Annotations, ConversionReport, ReadOptions
from .settle import settle
from .split import split_images

__all__ = ['FORMATS', 'convert', 'detect_format']

FORMATS: dict[str, ModuleType] = {
    'voc': voc, 'coco': coco, 'yolo': yolo, 'csv': box_table, 'cvat': cvat, 'labelme': labelme,
}  # fmt: skip
_TITLES = dict(voc='VOC', coco='COCO', yolo='YOLO', csv='CSV', cvat='CVAT', labelme='LabelMe')
_WITHOUT_CLASS_LIST = ('voc', 'csv', 'labelme')
_DEFAULT_SHARES = (0.8, 0.1, 0.1)
_EXACT = 1e-5  # pixels; formats with decimals keep six or more of them

_CONFIGS = {
    'voc': """\
_base_ = './configs/emanet/faster_rcnn_bccd.py'

dataset = dict(
    type='mdvision.VOCDataset',
    data_root={root!r},
    metainfo=dict(classes={classes}),
)
train_dataloader = dict(dataset=dict(ann_file='ImageSets/Main/train.txt', **dataset))
val_dataloader = dict(dataset=dict(ann_file='ImageSets/Main/val.txt', test_mode=True, **dataset))
test_dataloader = {test}
""",
    'coco': """\
_base_ = './configs/emanet/faster_rcnn_bccd.py'

dataset = dict(
    type='CocoDataset',
    data_root={root!r},
    data_prefix=dict(img='images'),
    metainfo=dict(classes={classes}),
)
train_dataloader = dict(dataset=dict(ann_file='annotations/train.json', **dataset))
val_dataloader = dict(dataset=dict(ann_file='annotations/val.json', test_mode=True, **dataset))
test_dataloader = {test}
""",
}
_TESTS = {
    'voc': "dict(dataset=dict(ann_file='ImageSets/Main/test.txt', test_mode=True, **dataset))",
    'coco': "dict(dataset=dict(ann_file='annotations/test.json', test_mode=True, **dataset))",
}


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    to: str = 'voc',
    source_format: str = '',
    images: str | os.PathLike | None = None,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    box_base: int | str = 'auto',
    copy: bool = False,
) -> str:
    """Convert a data set of boxes from one format to another.

    ``target`` appears complete or not at all: it is written next to its place, read back and compared with
    what was to be written (VOC by :class:`~mdvision.datasets.VOCDataset` too), and then renamed.

    Args:
        source: the annotation file, or the folder of the data set.
        target: the folder to write; it must not exist, or be empty.
        to: the format to write, one of ``FORMATS``.
        source_format: the format of ``source``; ``''``: found out.
        images: folder of the images, where they do not lie with the annotations.
        shares: shares of train, val and (if three are given) test, which sum to 1; the images are then
            divided anew. None: the split of the source; 0.8, 0.1 and 0.1 where it has none.
        seed: seed of the split.
        box_base: how VOC and CSV files count pixels: 1, 0 or ``'auto'``: 0 if a box begins at 0.
        copy: copy the image files instead of linking them.

    Returns:
        the text for the user: counts per class and split, and everything that was left out or changed.
        ``conversion.txt`` in ``target`` has the same with every place by name.

    Raises:
        UserError: the source has faults, all in one message, or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    _check_paths(source, target)
    shares = _named_shares(shares)
    kind = source_format or detect_format(source)
    report = ConversionReport('', str(source), _TITLES[kind])
    options = ReadOptions(Path(images) if images else None, box_base)
    data = _read(kind, source, report, options)
    how = _divide(data, shares, seed, report)
    if to in _WITHOUT_CLASS_LIST:
        used = {box.label for image in data.images for box in image.boxes}
        for name in data.classes:
            if name not in used:
                report.found('unused class', name)
    place = target.absolute()
    making = place.parent / f'.{place.name}.incomplete'
    shutil.rmtree(making, ignore_errors=True)  # of a conversion that was killed
    try:
        _make(making)
        FORMATS[to].write(data, making, report, copy)
        checked = _compare(data, making, to)
        text = f'{_TITLES[kind]} {source} -> {_TITLES[to]} {target}: ' + '\n'.join(
            [_table(data, how), checked]
        )
        config = _config(data, target, to)
        text += f'\n{_TITLES[kind]}: {report.boxes}' * bool(report.boxes)
        full = '\n'.join([text, *report.lines(most=None), config])
        (making / 'conversion.txt').write_text(full + '\n', encoding='utf-8')
        if target.exists():
            target.rmdir()
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    lines = [f'  {line}' for line in report.lines()]
    changes = (
        ['left out, changed or to be looked at:', *lines] if lines else ['nothing was left out or changed']
    )
    return '\n'.join([text, *changes, f'in full: {target / "conversion.txt"}', config]).rstrip()


def _check_paths(source: Path, target: Path) -> None:
    if not source.exists():
        raise UserError(f'{source} does not exist. Give the annotation file, or the folder of the data set.')
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f'{target} already exists and is not an empty folder. Choose another, or remove it.')
    if target.resolve() == Path.cwd():
        raise UserError(f'{target} is the current folder. Name a folder in it, which is then made.')
    if source.resolve() in target.resolve().parents:
        raise UserError(
            f'{target} lies within {source}, and would be read as part of it. Choose another place.'
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f'cannot make a folder in {folder.parent}: {error.strerror}. Choose another.'
        ) from None


def _named_shares(shares: Sequence[float] | None) -> dict[str, float] | None:
    if shares is None:
        return None
    if len(shares) not in (2, 3) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            'expected the shares of train, val and, if wanted, test, positive numbers that sum to 1, such as '
            f'--split 0.8 0.1 0.1; got {" ".join(f"{share:g}" for share in shares)}.'
        )
    return dict(zip(SPLITS, shares, strict=False))


def detect_format(source: Path) -> str:
    """Return the format of ``source``.

    Raises:
        UserError: it is none of them, or looks like several.
    """
    found = [kind for kind, module in FORMATS.items() if module.finds(source)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f'{source} is in none of the formats {", ".join(FORMATS)}: expected Annotations/*.xml (voc), '
            'JSON with images and categories (coco), data.yaml or classes.txt (yolo), *.csv (csv), XML with '
            '<annotations> (cvat), or JSON with shapes (labelme). Name the file, or give --from.'
        )
    raise UserError(f'{source} could be {" or ".join(found)}. Name the file, or say which with --from.')


def _read(kind: str, source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read and settle a data set.

    Raises:
        UserError: it has faults, or no image.
    """
    data = FORMATS[kind].read(source, report, options)
    settle(data, report, options.check)
    report.raise_faults()
    if not data.images:
        raise UserError(f'{source}: there is no image in this {_TITLES[kind]} data. Check the path.')
    if not any(image.boxes for image in data.images):
        raise UserError(f'{source}: there is no object in the {len(data.images)} images. Check the path.')
    return data


def _divide(data: Annotations, shares: dict[str, float] | None, seed: int, report: ConversionReport) -> str:
    """Settle the split of every image; return how, for the user."""
    there = Counter(image.split for image in data.images)
    has_split = 'train' in there and len(there.keys() - {''}) > 1
    if has_split and shares is None:
        for image in data.images:
            if not image.split:
                report.found('no split', image.where)
        data.images = [image for image in data.images if image.split]
        return 'split of the source'
    shares = shares or dict(zip(SPLITS, _DEFAULT_SHARES, strict=True))
    split_images(data.images, shares, seed)
    named = ' '.join(f'{share:g}' for share in shares.values())
    replaced = ' (replaces the split of the source)' * has_split
    return f'split {named} by iterative stratification over the classes, seed {seed}{replaced}'


def _table(data: Annotations, how: str) -> str:
    """Return the counts per class and split, as lines."""
    splits = [split for split in SPLITS if any(image.split == split for image in data.images)]
    images = Counter(image.split for image in data.images)
    empty = Counter(image.split for image in data.images if not image.boxes)
    objects = Counter((image.split, box.label) for image in data.images for box in image.boxes)
    rows = [
        ['', *splits],
        ['images', *(str(images[split]) for split in splits)],
        ['  without objects', *(str(empty[split]) for split in splits)],
        *([name, *(str(objects[split, name]) for split in splits)] for name in data.classes),
    ]
    first = f'{len(data.images)} images, {objects.total()} objects of {len(data.classes)} classes'
    return '\n'.join([first, how, *(f'  {line}' for line in aligned(rows))])


def _compare(data: Annotations, folder: Path, kind: str) -> str:
    """Read what was written and compare it with what was to be written; return what was compared.

    Raises:
        UserError: they differ.
    """
    report = ConversionReport('', str(folder), _TITLES[kind])
    options = ReadOptions(box_base='auto' if kind == 'voc' else 1, check='header')
    again = _read(kind, folder, report, options)
    written = {image.id: image for image in again.images}
    wrong = [image.id for image in data.images if not _same(image, written.pop(image.id, None), kind)]
    if wrong or written:
        raise UserError(
            f'what was written differs from what was read: {[*wrong, *written][:8]}. Perhaps a name has '
            'characters that the format cannot hold: rename these images or their classes.'
        )
    if kind != 'voc':
        return 'read back: every box is the same'
    import_upstream('mmdet')
    from mdvision.datasets.voc import VOCDataset  # imports mmdet, which only this format needs

    for split in dict.fromkeys(image.split for image in data.images):
        dataset = VOCDataset(
            str(folder), f'ImageSets/Main/{split}.txt', dict(classes=data.classes), check_images='header',
            show_summary=False, test_mode=True, serialize_data=False,
        )  # fmt: skip
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        found = Counter(data.classes[item['bbox_label']] for info in infos for item in info['instances'])
        wanted = Counter(box.label for image in data.images if image.split == split for box in image.boxes)
        if found != wanted:
            raise UserError(f'{split}: VOCDataset reads {dict(found)}, but {dict(wanted)} were written.')
    return 'read back with VOCDataset: every box is the same, and the counts agree'


def _same(image, again, kind: str) -> bool:
    if again is None or (again.split, again.size) != (image.split, image.size):
        return False
    if len(again.boxes) != len(image.boxes):
        return False
    return all(
        a.label == b.label
        and (kind == 'yolo' or a.flags == b.flags)
        and all(abs(x - y) <= _EXACT for x, y in zip(a.corners, b.corners, strict=True))
        for a, b in zip(image.boxes, again.boxes, strict=True)
    )


def _config(data: Annotations, target: Path, to: str) -> str:
    """Return a config that trains on the result, or ''."""
    if to not in _CONFIGS:
        return ''
    has_test = any(image.split == 'test' for image in data.images)
    test = _TESTS[to] if has_test else 'val_dataloader'
    text = _CONFIGS[to].format(root=str(target), classes=data.classes, test=test)
    return f'a config that trains on it, in the project root:\n\n{text}'
