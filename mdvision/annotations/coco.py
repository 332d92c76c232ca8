"""COCO: one JSON file per split, checked by :mod:`mdvision.datasets.coco_check`."""

import json
from pathlib import Path

from mdvision.datasets.coco_check import check_coco_content, read_coco_json
from mdvision.datasets.voc_annotation import shorten
from mdvision.errors import UserError

from .form import (
    AnnotatedImage,
    Annotations,
    Box,
    ConversionReport,
    ReadOptions,
    image_folder,
    image_id,
    one_split_each,
    place_image,
    resolved,
)

__all__ = ['finds', 'read', 'write']

_HELD = {'id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd', 'ignore', 'segmentation', 'attributes'}
_HELD_ATTRIBUTES = ('truncated', 'occluded')


def finds(source: Path) -> bool:
    """Return whether ``source`` is a COCO file, or a folder with COCO files in it or in ``annotations``."""
    return bool(_files(source))


def _files(source: Path) -> list[Path]:
    """Return the COCO files: by content, since every tool names them differently."""
    if source.is_file():
        return [source] if _is_coco(source) else []
    return [file for file in sorted(source.rglob('*.json')) if _is_coco(file)]


def _is_coco(file: Path) -> bool:
    if file.suffix.lower() != '.json':
        return False
    with file.open('rb') as opened:
        content = opened.read(4096)
        if b'"shapes"' in content:  # LabelMe: perhaps with an image in it, which need not be read
            return False
        content += opened.read()
    return b'"images"' in content and b'"categories"' in content


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read one COCO file, or a folder with one per split."""
    files = _files(source) or ([source] if source.is_file() else [])
    if not files:
        raise UserError(f'{source}: expected a COCO file (JSON with images and categories); there is none.')
    data = Annotations()
    first, names = '', {}
    for file, split in one_split_each(files, source).items():
        content = read_coco_json(file, report)
        if content is None:
            continue
        prefix = f'{file.relative_to(source).as_posix()}: ' if len(files) > 1 else ''
        if _is_sound(content, report, prefix):
            own = {category['id']: category['name'] for category in content['categories']}
            first, names = (first, names) if first else (file.name, own)
            if list(own.items()) != list(names.items()):
                report.fault(
                    'category', f'{file.name} has other categories, ids or another order than {first}'
                )
            _read_file(content, file, split, prefix, own, data, report, options)
    data.classes = tuple(names.values())
    return data


def _is_sound(content: dict[str, list[dict]], report: ConversionReport, prefix: str) -> bool:
    """Check a file with all of its categories as classes; return whether it can be read."""
    found = ConversionReport('', '')
    names = [category.get('name') for category in content['categories']]
    classes = [name for name in names if isinstance(name, str)]
    check_coco_content(found, content, classes, need_objects=False, need_area=False)
    sound = not found.fault_text()
    if not sound:
        report.absorb(found, prefix)
    return sound


def _read_file(
    content: dict[str, list[dict]],
    file: Path,
    split: str,
    prefix: str,
    names: dict[object, str],
    data: Annotations,
    report: ConversionReport,
    options: ReadOptions,
) -> None:
    listed = {image['id']: image.get('file_name') or image['coco_url'] for image in content['images']}
    above, stem = file.parent.parent, file.stem.removeprefix('instances_')
    candidates = [
        file.parent,
        file.parent / 'images',
        above / 'images',
        above / stem,
        above / 'images' / stem,
        above,
    ]
    folder = image_folder(options, candidates, list(listed.values()))
    images = {}
    for entry in content['images']:
        path, name = resolved(folder, listed[entry['id']])
        where = f'{prefix}image id {shorten(str(entry["id"]))}'
        images[entry['id']] = AnnotatedImage(
            image_id(name), path, where, (entry['width'], entry['height']), split=split
        )
    for index, entry in enumerate(content['annotations']):
        where = f'{prefix}annotations[{index}] (id {shorten(str(entry["id"]))})'
        x, y, width, height = entry['bbox']
        flags = set(_flags(entry, where, report))
        corners = (float(x), float(y), float(x + width), float(y + height))
        box = Box(names[entry['category_id']], corners, where, frozenset(flags))
        images[entry['image_id']].boxes.append(box)
    data.images += images.values()
    data.folders.append(folder)


def _flags(entry: dict, where: str, report: ConversionReport) -> list[str]:
    """Return the flags of an annotation; name what else it has."""
    flags = []
    if entry.get('iscrowd') or entry.get('ignore'):
        flags.append('difficult')
        report.found('crowd', where)
    if entry.get('segmentation'):
        report.found('mask', where)
    attributes = entry.get('attributes')
    attributes = attributes if isinstance(attributes, dict) else {'attributes': attributes}
    flags += [flag for flag in _HELD_ATTRIBUTES if attributes.get(flag) in (True, 1)]
    extras = {key for key, value in entry.items() if key not in _HELD and value}
    extras |= {key for key, value in attributes.items() if key not in _HELD_ATTRIBUTES and value}
    if extras:
        report.found('attribute', f'{where} ({", ".join(sorted(extras))})')
    return flags


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write ``annotations/SPLIT.json`` and ``images`` into the folder ``target``."""
    (target / 'annotations').mkdir(parents=True)
    categories = [dict(id=index, name=name) for index, name in enumerate(data.classes, 1)]
    for split in dict.fromkeys(image.split for image in data.images):
        images, annotations = [], []
        for image in (image for image in data.images if image.split == split):
            place_image(image, target / 'images' / image.name, copy)
            width, height = image.size
            images.append(dict(id=len(images) + 1, file_name=image.name, width=width, height=height))
            for box in image.boxes:
                annotations.append(_entry(box, len(annotations) + 1, len(images), data.classes))
        content = dict(images=images, annotations=annotations, categories=categories)
        file = target / 'annotations' / f'{split}.json'
        file.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')


def _entry(box: Box, number: int, image: int, classes: tuple[str, ...]) -> dict:
    x1, y1, x2, y2 = map(_whole, box.corners)
    width, height = _whole(x2 - x1), _whole(y2 - y1)
    entry = dict(
        id=number, image_id=image, category_id=classes.index(box.label) + 1,
        bbox=[x1, y1, width, height], area=width * height, iscrowd=int('difficult' in box.flags),
    )  # fmt: skip
    attributes = {flag: True for flag in _HELD_ATTRIBUTES if flag in box.flags}
    return entry | dict(attributes=attributes) if attributes else entry


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value
