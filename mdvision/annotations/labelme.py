"""LabelMe: one JSON file per image, next to it, with a list of shapes."""

import json
from os.path import isfile  # False for names that no file can have, where pathlib raises
from pathlib import Path

from mdvision.datasets.image_extensions import VOC_EXTENSIONS
from mdvision.datasets.voc_annotation import shorten
from mdvision.errors import UserError

from .form import (
    FLAGS,
    AnnotatedImage,
    Annotations,
    Box,
    ConversionReport,
    ReadOptions,
    finite,
    place_image,
    read_text,
    sorted_classes,
    split_named,
)

__all__ = ['finds', 'read', 'write']


def finds(source: Path) -> bool:
    """Return whether ``source`` is a folder with LabelMe files."""
    return source.is_dir() and any(_is_labelme(file) for file in sorted(source.rglob('*.json')))


def _is_labelme(file: Path) -> bool:
    return b'"shapes"' in file.read_bytes()


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read a folder of LabelMe files; folders ``train``, ``val`` and ``test`` in it are splits."""
    files = sorted(file for file in source.rglob('*.json') if _is_labelme(file)) if source.is_dir() else []
    if not files:
        raise UserError(f'{source}: expected a folder with LabelMe files (JSON with shapes); there are none.')
    if options.images is not None and not options.images.is_dir():
        raise UserError(f'--images: there is no folder {options.images}.')
    folder = options.images or source
    data = Annotations()
    for file in files:
        image = _read_file(file, file.relative_to(source), folder, report)
        if image is not None:
            data.images.append(image)
    data.classes = sorted_classes(data.images)
    data.folders.append(folder)
    return data


def _read_file(file: Path, name: Path, folder: Path, report: ConversionReport) -> AnnotatedImage | None:
    text = read_text(file, report)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        report.fault('entry', f'{name}: malformed JSON, {shorten(str(error))}')
        return None
    shapes = content.get('shapes') if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        report.fault('entry', f'{name}: expected a list "shapes" of objects in braces')
        return None
    path = _image_of(content, folder / name, name, report)
    if path is None:
        return None
    split = split_named(name.parts[0]) if len(name.parts) > 1 else ''
    own = name.relative_to(name.parts[0]) if split else name
    image = AnnotatedImage(own.with_suffix('').as_posix(), path, str(name), split=split)
    size = [finite(content.get(key)) for key in ('imageWidth', 'imageHeight')]
    if None not in size:
        image.size = (int(size[0]), int(size[1]))
    flags = _set_keys(content.get('flags'))
    if flags:
        report.found('attribute', f'{name} (flags of the image: {", ".join(flags)})')
    for index, shape in enumerate(shapes, 1):
        box = _read_shape(shape, f'{name} shape {index}', report)
        if box is not None:
            image.boxes.append(box)
    return image


def _image_of(content: dict, place: Path, name: Path, report: ConversionReport) -> Path | None:
    """Return the image: the one named like the JSON file, otherwise ``imagePath``."""
    stated = str(content.get('imagePath') or '').replace('\\', '/')
    named = sorted(
        path for path in place.parent.glob('*')
        if path.stem == place.stem and path.suffix.lower() in VOC_EXTENSIONS
    )  # fmt: skip
    by_path = place.parent / stated
    if stated and isfile(by_path) and (not named or by_path.resolve() in [p.resolve() for p in named]):
        return by_path
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        report.fault(
            'same id', f'{", ".join(path.name for path in named)}: imagePath of {name} is none of them'
        )
    else:
        report.fault('no image', f'{place.with_suffix("")}.jpg or {shorten(stated)} ({name})')
    return None


def _read_shape(shape: dict, where: str, report: ConversionReport) -> Box | None:
    """Return the box of a rectangle or around a polygon; None after a fault, or for another shape."""
    label, kind = shape.get('label'), shape.get('shape_type', 'polygon')
    if kind not in ('rectangle', 'polygon'):
        report.found('shape', f'{where} ({shorten(str(kind))} {shorten(str(label))})')
        return None
    if not isinstance(label, str) or not label.strip():
        report.fault('entry', f'{where}: expected a label, got {shorten(repr(label))}')
        return None
    points = shape.get('points')
    pairs = (
        points
        if isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
        else []
    )
    numbers = [finite(value) for pair in pairs for value in pair]
    least = 2 if kind == 'rectangle' else 3
    if len(pairs) < least or None in numbers or (kind == 'rectangle' and len(pairs) not in (2, 4)):
        expected = '2 or 4' if kind == 'rectangle' else 'at least 3'
        report.fault('entry', f'{where}: expected {expected} points, got {shorten(repr(points))}')
        return None
    xs, ys = numbers[0::2], numbers[1::2]
    if kind == 'polygon' or len(set(xs)) > 2 or len(set(ys)) > 2:
        report.found('enclosed', where)
    corners = (min(xs), min(ys), max(xs), max(ys))
    return Box(label.strip(), corners, where, _flags(shape, where, report))


def _flags(shape: dict, where: str, report: ConversionReport) -> frozenset[str]:
    """Return the flags that are set and known; name the others, and group and description."""
    given = _set_keys(shape.get('flags'))
    given += ['difficult'] if shape.get('difficult') else []
    extras = [key for key in given if key not in FLAGS]
    extras += [
        key for key in ('group_id', 'description', 'attributes') if shape.get(key) not in (None, '', {})
    ]
    if extras:
        report.found('attribute', f'{where} ({", ".join(extras)})')
    return frozenset(key for key in given if key in FLAGS)


def _set_keys(flags: object) -> list[str]:
    return [key for key, value in flags.items() if value] if isinstance(flags, dict) else []


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write images and JSON files next to each other, into the folder ``target/SPLIT``."""
    for image in data.images:
        place_image(image, target / image.split / image.name, copy)
        content = dict(
            version='5.5.0', flags={}, shapes=[_shape(box) for box in image.boxes],
            imagePath=image.name.rpartition('/')[2], imageData=None,
            imageHeight=image.size[1], imageWidth=image.size[0],
        )  # fmt: skip
        file = target / image.split / f'{image.id}.json'
        file.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding='utf-8')


def _shape(box: Box) -> dict:
    x1, y1, x2, y2 = box.corners
    return dict(
        label=box.label, points=[[x1, y1], [x2, y2]], group_id=None, description='', shape_type='rectangle',
        flags=dict.fromkeys(sorted(box.flags), True),
    )  # fmt: skip
