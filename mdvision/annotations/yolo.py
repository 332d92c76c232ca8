"""YOLO: one text file per image, with a class number and fractions of the image in each line."""

from collections.abc import Iterator
from os.path import exists, isdir, isfile  # False for names that no file can have, where pathlib raises
from pathlib import Path

import yaml

from mdvision.datasets.image_check import check_images
from mdvision.datasets.image_extensions import VOC_EXTENSIONS
from mdvision.datasets.voc_annotation import shorten
from mdvision.errors import UserError

from .form import (
    SPLITS,
    AnnotatedImage,
    Annotations,
    Box,
    ConversionReport,
    ReadOptions,
    cannot_hold_flags,
    finite,
    place_image,
    read_text,
    split_named,
)

__all__ = ['finds', 'read', 'write']

_CLASS_FILES = ('classes.txt', 'labels/classes.txt', 'obj.names')
_OUT_OF_RANGE = 0.01  # fraction that polygons may reach beyond the image
_SNAP = 0.005  # pixels


def finds(source: Path) -> bool:
    """Return whether ``source`` is a data.yaml with class names, or a folder with one or with classes.txt."""
    return bool(_yaml_files(source)) or any((source / name).is_file() for name in _CLASS_FILES)


def _yaml_files(source: Path) -> list[Path]:
    files = [source] if source.is_file() else sorted([*source.glob('*.yaml'), *source.glob('*.yml')])
    return [f for f in files if f.suffix.lower() in ('.yaml', '.yml') and b'names' in f.read_bytes()]


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read a data.yaml and what it names, or a folder of images and labels with ``classes.txt``."""
    if options.images is not None:
        raise UserError('--images: a YOLO data set names its image folders itself, in data.yaml.')
    files = _yaml_files(source)
    if len(files) > 1:
        raise UserError(f'{source} has several: {", ".join(f.name for f in files)}. Give the file instead.')
    if files:
        classes, folders = _read_yaml(files[0], report)
    else:
        classes, folders = _read_class_list(source, report), _plain_folders(source)
    data = Annotations(tuple(classes))
    for split, folder in folders:
        data.images += _images(folder, split, report)
    facts = check_images([str(image.path) for image in data.images], options.check)
    labels = [_label_file(image.path) for image in data.images]
    for image, label, fact in zip(data.images, labels, facts, strict=True):
        # After turning by EXIF, as loaders do; a broken image is reported when the images are settled.
        image.size = (fact.height, fact.width) if fact.orientation >= 5 else (fact.width, fact.height)
        if isfile(label) and not fact.fault:
            image.boxes = list(_read_labels(label, image, classes, report))
        image.size = None if fact.fault else image.size
    _find_orphans(labels, report)
    return data


def _read_yaml(file: Path, report: ConversionReport) -> tuple[list[str], list[tuple[str, Path]]]:
    """Return the class names, and (split, folder or list of images) of every entry."""
    text = read_text(file, report)
    try:
        content = yaml.safe_load(text or '')
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f'{file}: malformed YAML: {shorten(str(error), 200)}. Correct it.') from None
    content = content if isinstance(content, dict) else {}
    names = content.get('names')
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(
                f'{file}: expected names with numbers from 0 on, got {shorten(str(list(names)))}.'
            )
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f'{file}: expected names, a list of class names, got {shorten(repr(names))}.')
    if content.get('nc', len(names)) != len(names):
        raise UserError(
            f'{file}: nc is {content["nc"]}, but there are {len(names)} names. Correct one of them.'
        )
    _refuse_twice(names, file)
    root = file.parent / str(content.get('path') or '')
    root = root if isdir(root) else file.parent
    folders = []
    for key in ('train', 'val', 'valid', 'test'):
        given = content.get(key) or []
        for name in given if isinstance(given, list) else [given]:
            path = root / str(name)
            if not exists(path) and str(name).startswith('../'):
                path = root / str(name)[3:]  # exported by Roboflow: relative to a folder that is not there
            if not exists(path):
                raise UserError(f'{file}: {key} names {name}, but there is no {path}. Correct {key} or path.')
            folders.append((split_named(key), path))
    if not folders:
        raise UserError(f'{file}: expected train and val, folders of images; there are none.')
    return names, folders


def _read_class_list(source: Path, report: ConversionReport) -> list[str]:
    for name in _CLASS_FILES:
        if (source / name).is_file():
            lines = (read_text(source / name, report) or '').splitlines()
            names = [line.strip() for line in lines if line.strip()]
            _refuse_twice(names, source / name)
            return names
    raise UserError(
        f'{source}: expected the class names of a YOLO data set in data.yaml or classes.txt; there is '
        'neither. Write classes.txt with one name per line: line 1 is class 0.'
    )


def _refuse_twice(names: list[str], file: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f'{file}: the class names {twice} stand there more than once. Rename them.')


def _plain_folders(source: Path) -> list[tuple[str, Path]]:
    """Return the folders of images without a data.yaml: those of the splits, or the only one."""
    images = source / 'images' if (source / 'images').is_dir() else source
    folders = [(split_named(path.name), path) for path in sorted(images.iterdir()) if path.is_dir()]
    folders = [(split, path) for split, path in folders if split]
    return folders or [('', images)]


def _images(folder: Path, split: str, report: ConversionReport) -> Iterator[AnnotatedImage]:
    """Yield the images of a folder, or those that a text file lists."""
    if folder.is_file():
        for number, line in enumerate((read_text(folder, report) or '').splitlines(), 1):
            if line.strip():
                path = folder.parent / line.strip()
                yield AnnotatedImage(path.stem, path, f'{folder.name} line {number}', split=split)
        return
    found = [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in VOC_EXTENSIONS]
    if not found:
        raise UserError(f'{folder}: expected images ({", ".join(VOC_EXTENSIONS)}); there are none.')
    for path in found:
        name = path.relative_to(folder).with_suffix('').as_posix()
        yield AnnotatedImage(name, path, str(path), split=split)


def _label_file(image: Path) -> Path:
    """Return the label file of an image: ``images`` is replaced by ``labels`` in the last place."""
    parts = list(image.with_suffix('.txt').parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == 'images']
    if places:
        parts[places[-1]] = 'labels'
    return Path(*parts)


def _find_orphans(labels: list[Path], report: ConversionReport) -> None:
    """Record label files without an image."""
    known = {path.resolve() for path in labels}
    for folder in dict.fromkeys(label.parent for label in labels):
        for file in sorted(folder.glob('*.txt')):
            if file.resolve() not in known and file.name != 'classes.txt' and not split_named(file.stem):
                report.fault('no image', f'for the label file {file}')


def _read_labels(
    file: Path, image: AnnotatedImage, classes: list[str], report: ConversionReport
) -> Iterator[Box]:
    for number, line in enumerate((read_text(file, report) or '').splitlines(), 1):
        words = line.split()
        where = f'{file.parent.name}/{file.name} line {number}'
        if not words:
            continue
        values = [finite(word) for word in words]
        if None in values or len(words) < 5 or len(words) % 2 == 0:
            confidence = ' (six numbers: a prediction with its confidence?)' * (len(words) == 6)
            expected = 'expected a class number and x, y, width, height, or the points of a polygon'
            report.fault('entry', f'{where}: {expected}, got {shorten(repr(line))}{confidence}')
        elif not words[0].isdecimal() or int(words[0]) >= len(classes):
            report.fault('label', f'{where}: class {words[0]}, but there are classes 0 to {len(classes) - 1}')
        elif not all(-_OUT_OF_RANGE <= value <= 1 + _OUT_OF_RANGE for value in values[1:]):
            report.fault(
                'entry', f'{where}: expected fractions of the image from 0 to 1, got {shorten(repr(line))}'
            )
        else:
            corners = _corners(words[1:], values[1:], image.size)
            if min(corners[2] - corners[0], corners[3] - corners[1]) < 1:
                report.found('degenerate', where)
                continue
            if len(words) > 5:
                report.found('enclosed', where)
            yield Box(classes[int(words[0])], corners, where)


def _corners(words: list[str], values: list[float], size: tuple[int, int]) -> tuple[float, ...]:
    """Return the box in pixels.

    The decimals in the file limit how exact a fraction is: a number that is whole within that becomes whole.
    """
    if len(values) == 4:
        x, y, width, height = values
        xs, ys = (x - width / 2, x + width / 2), (y - height / 2, y + height / 2)
    else:
        xs, ys = values[0::2], values[1::2]
    decimals = max(len(word.partition('.')[2]) for word in words)
    corners = []
    for values_, side in ((xs, size[0]), (ys, size[1])):
        near = min(_SNAP, 0.75 * 10**-decimals * side + 1e-9)
        pixels = [value * side for value in (min(values_), max(values_))]
        corners.append([round(v) if abs(v - round(v)) <= near else v for v in pixels])
    (x1, x2), (y1, y2) = corners
    return float(x1), float(y1), float(x2), float(y2)


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml`` into the folder ``target``."""
    cannot_hold_flags(data, report)
    splits = [split for split in SPLITS if any(image.split == split for image in data.images)]
    for image in data.images:
        place_image(image, target / 'images' / image.split / image.name, copy)
        file = target / 'labels' / image.split / f'{image.id}.txt'
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [_line(box, image.size, data.classes) for box in image.boxes]
        file.write_text(''.join(lines), encoding='utf-8')
    content = {split: f'images/{split}' for split in splits}
    content['names'] = dict(enumerate(data.classes))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (target / 'data.yaml').write_text(text, encoding='utf-8')


def _line(box: Box, size: tuple[int, int], classes: tuple[str, ...]) -> str:
    (x1, y1, x2, y2), (width, height) = box.corners, size
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return f'{classes.index(box.label)} {" ".join(f"{value:.12f}" for value in values)}\n'
