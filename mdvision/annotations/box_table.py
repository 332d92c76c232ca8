"""CSV with one box per line, in the columns of TensorFlow's object detection tutorials."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

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
    image_folder,
    image_id,
    one_split_each,
    place_image,
    read_text,
    resolved,
    sorted_classes,
)
from .voc import drop_what_counts_as_degenerate, voc_numbers

__all__ = ['finds', 'read', 'write']

_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
_NEEDED = ('filename', 'class', *_CORNERS)
_COLUMNS = ('filename', 'width', 'height', 'class', *_CORNERS, *FLAGS)


def finds(source: Path) -> bool:
    """Return whether ``source`` is a CSV file or a folder with some."""
    return bool(_files(source))


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == '.csv' else []
    return sorted(source.rglob('*.csv'))


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read one CSV file, or a folder with one per split.

    The columns ``filename, class, xmin, ymin, xmax, ymax`` are needed; ``width, height`` and
    ``difficult, truncated, occluded`` (0 or 1) are used where they exist. A line without class and box is an
    image without objects. Boxes are VOC's: from 1 and inclusive, or from 0 with ``box_base=0``.
    """
    files = _files(source)
    if not files:
        raise UserError(f'{source}: expected a CSV file; there is none.')
    data = Annotations()
    for file, split in one_split_each(files, source).items():
        rows = list(_rows(file, report))
        candidates = [
            file.parent,
            file.parent / 'images',
            file.parent.parent / 'images',
            file.parent / file.stem,
        ]
        folder = image_folder(options, candidates, [row['filename'] for _, row in rows])
        images: dict[str, AnnotatedImage] = {}
        for where, row in rows:
            _read_row(where, row, folder, split, images, report)
        data.folders.append(folder)
        data.images += images.values()
    data.classes = sorted_classes(data.images)
    _settle_base(data, report, options.box_base)
    return data


def _rows(file: Path, report: ConversionReport) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (place, row) of every line after the header.

    Raises:
        UserError: the header is not as expected.
    """
    text = read_text(file, report)
    if text is None:
        return
    reader = csv.DictReader(io.StringIO(text, newline=''), strict=True, skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise UserError(f'{file}, line 1: malformed CSV, {error}.') from None
    lacking = [name for name in _NEEDED if name not in header]
    odd = [name for name in header if name not in _COLUMNS]
    if lacking or len(set(header)) < len(header):
        hint = ''
        if len(header) == 1 and ';' in header[0]:
            hint = ' The separator must be a comma.'
        elif any(finite(name) is not None for name in header):
            hint = ' Line 1 looks like data: insert a line with the names of the columns, in their order.'
        raise UserError(
            f'{file}: expected the columns {", ".join(_NEEDED)} in line 1, and optionally '
            f'{", ".join(name for name in _COLUMNS if name not in _NEEDED)}; got '
            f'{shorten(", ".join(header), 200)}.{hint}'
        )
    for name in odd:
        report.found('attribute', f'{file.name} column {name}')
    reader.fieldnames = header
    try:
        for row in reader:
            where = f'{file.name} line {reader.line_num}'
            if None in row or None in row.values():
                report.fault('entry', f'{where}: expected {len(header)} values')
                continue
            row = {key: value.strip() for key, value in row.items()}
            if row['filename']:
                yield where, row
            else:
                report.fault('entry', f'{where}: expected a filename, got none')
    except csv.Error as error:
        report.fault('entry', f'{file.name} line {reader.line_num}: malformed CSV, {error}')


def _read_row(
    where: str,
    row: dict[str, str],
    folder: Path,
    split: str,
    images: dict[str, AnnotatedImage],
    report: ConversionReport,
) -> None:
    path, name = resolved(folder, row['filename'])
    image = images.setdefault(name, AnnotatedImage(image_id(name), path, where, split=split))
    _read_size(where, row, image, report)
    texts = [row[key] for key in _CORNERS]
    if not row['class'] and not any(texts):
        return  # an image without objects
    numbers = [finite(text) for text in texts]
    odd = [key for key in FLAGS if row.get(key, '0').lower() not in ('', '0', '1', 'true', 'false')]
    for key, text, number in zip(_CORNERS, texts, numbers, strict=True):
        if number is None:
            report.fault('entry', f'{where}: {key}: expected a finite number, got {shorten(repr(text))}')
    for key in odd:
        report.fault('entry', f'{where}: {key}: expected 0 or 1, got {shorten(repr(row[key]))}')
    if not row['class']:
        report.fault('entry', f'{where}: expected a class, got none')
    if None not in numbers and not odd and row['class']:
        flags = frozenset(key for key in FLAGS if row.get(key, '').lower() in ('1', 'true'))
        image.boxes.append(Box(row['class'], tuple(numbers), where, flags))


def _read_size(where: str, row: dict[str, str], image: AnnotatedImage, report: ConversionReport) -> None:
    texts = [row.get(side, '') for side in ('width', 'height')]
    if not any(texts):
        return
    numbers = [finite(text) for text in texts]
    if None in numbers or any(number < 1 or number != int(number) for number in numbers):
        report.fault('entry', f'{where}: expected width and height in pixels, got {shorten(repr(texts))}')
        return
    size = (int(numbers[0]), int(numbers[1]))
    if image.size not in (None, size):
        given, before = f'{size[0]}x{size[1]}', f'{image.size[0]}x{image.size[1]}'
        report.fault('entry', f'{where}: size {given}, but {before} in an earlier line of this image')
    image.size = size


def _settle_base(data: Annotations, report: ConversionReport, base: int | str) -> None:
    """Decide how the boxes count pixels, by VOCDataset's rule: from 0 if one begins at 0, else from 1."""
    boxes = [box for image in data.images for box in image.boxes]
    zeros = [box.where for box in boxes if max(box.corners) > 1 and any(0 <= v < 1 for v in box.corners[:2])]
    if base == 'auto':
        data.base = 0 if zeros else 1
        why = f'{len(zeros)} begin at 0: {zeros[0]}' if zeros else 'none begins at 0'
        report.boxes = f'boxes {data.base}-based (auto: {why})'
        return
    data.base = base
    report.boxes = f'boxes {base}-based'
    if base == 1 and zeros:
        report.warnings.append(f'--box-base 1, but {len(zeros)} boxes begin at 0: first {zeros[0]}')


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write ``SPLIT.csv`` and ``images`` into the folder ``target``, with VOC's 1-based boxes."""
    drop_what_counts_as_degenerate(data, report)
    for split in dict.fromkeys(image.split for image in data.images):
        with (target / f'{split}.csv').open('w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(_COLUMNS)
            for image in (image for image in data.images if image.split == split):
                place_image(image, target / 'images' / image.name, copy)
                for box in image.boxes:
                    numbers = [f'{value:.6f}'.rstrip('0').rstrip('.') for value in voc_numbers(box)]
                    flags = [int(flag in box.flags) for flag in FLAGS]
                    writer.writerow([image.name, *image.size, box.label, *numbers, *flags])
                if not image.boxes:
                    writer.writerow([image.name, *image.size, *[''] * (len(_COLUMNS) - 3)])
