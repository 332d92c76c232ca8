"""Check a COCO annotation file as strictly as the VOC reader: names, counts, ids, boxes.

MMDetection's reader drops what it does not understand: a class missing in the file shifts every later label
by one; objects of unknown categories and zero-area boxes vanish. This check reads the same file first; it
prepares nothing for that reader.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mdvision.errors import did_you_mean

from .voc_annotation import BoxError, settle_box, shorten
from .voc_report import SplitReport

__all__ = ['check_coco_content', 'check_coco_file', 'read_coco_json']

NAMED_CLASSES = 10  # in a warning


def check_coco_file(path: Path, classes: Sequence[str], whole: bool, need_objects: bool) -> SplitReport:
    """Check a COCO file and return its problems and counts.

    Args:
        path: the JSON file.
        classes: class names of the data set, in label order.
        whole: every category of the file must be a class; otherwise, additional categories are a warning.
        need_objects: a file without any object of the classes is an error.
    """
    report = SplitReport(path.name, str(path.parent), 'COCO')
    content = read_coco_json(path, report)
    if content is not None:
        check_coco_content(report, content, classes, whole, need_objects)
    return report


def read_coco_json(path: Path, report: SplitReport) -> dict[str, list[dict]] | None:
    """Return the lists ``images``, ``annotations`` and ``categories``; None after a fault."""
    try:
        content = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        report.fault(
            'entry', f'{path}, line {error.lineno}, column {error.colno}: malformed JSON, {error.msg}'
        )
        return None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        report.fault('entry', f'{path}: malformed JSON, {shorten(str(error))}')
        return None
    parts, whole = {}, True
    for part in ('images', 'annotations', 'categories'):
        parts[part] = content.get(part) if isinstance(content, dict) else None
        if not isinstance(parts[part], list) or not all(isinstance(entry, dict) for entry in parts[part]):
            report.fault('entry', f'{path}: expected a list "{part}" of objects in braces')
            whole = False
    return parts if whole else None


def check_coco_content(
    report: SplitReport,
    content: dict[str, list[dict]],
    classes: Sequence[str],
    whole: bool = False,
    need_objects: bool = True,
    need_area: bool = True,
) -> None:
    """Check what :func:`read_coco_json` returned; the arguments are those of :func:`check_coco_file`.

    ``need_area``: an annotation without ``area`` is a fault, as MMDetection's reader fails on it.
    """
    names = _check_categories(report, content['categories'], classes, whole)
    sizes = _check_images(report, content['images'])
    _check_annotations(report, content['annotations'], sizes, names, classes, need_area)
    _judge(report, classes, whole, need_objects)


def _check_categories(
    report: SplitReport, categories: list[dict], classes: Sequence[str], whole: bool
) -> dict[object, str]:
    """Return {id: name} of every category; record a fault where labels would not match ``classes``."""
    names = {}
    for index, category in enumerate(categories):
        if not isinstance(category.get('name'), str) or isinstance(category.get('id'), list | dict | None):
            report.fault('entry', f'categories[{index}]: expected "id" and "name"')
        elif category['id'] in names:
            report.fault('duplicate', f'categories[{index}]: id {category["id"]}')
        else:
            names[category['id']] = category['name']
    for name, count in Counter(names.values()).items():
        if count > 1:
            report.fault('duplicate', f'categories: the name {shorten(repr(name))} ({count}x)')
    there = list(names.values())
    missing = [name for name in classes if name not in there]
    for name in missing:
        free = [other for other in there if other not in classes]
        hint = did_you_mean(name, free) or f' The file has {", ".join(map(repr, there[:NAMED_CLASSES]))}.'
        report.fault('category', f'{shorten(repr(name))}.{hint}')
    both = [name for name in there if name in classes]
    if not missing and len(both) == len(classes) and both != list(classes):
        first = next(i for i, (a, b) in enumerate(zip(both, classes, strict=True)) if a != b)
        report.fault('order', f'label {first} is {both[first]!r} in the file, {classes[first]!r} in classes')
    if whole:
        for name in there:
            if name not in classes:
                report.fault(
                    'category', f'the file has {shorten(repr(name))}, which is not among the classes'
                )
    return names


def _check_images(report: SplitReport, images: list[dict]) -> dict[object, tuple[int, int]]:
    """Return {id: (width, height)} of every image."""
    sizes, files = {}, Counter()
    for index, image in enumerate(images):
        where = f'images[{index}] (id {shorten(str(image.get("id")))})'
        size = tuple(image.get(side) for side in ('width', 'height'))
        if isinstance(image.get('id'), list | dict | None):
            report.fault('entry', f'images[{index}]: expected "id" as a number')
            continue
        if not all(isinstance(side, int) and side > 0 for side in size):
            report.fault('entry', f'{where}: expected "width" and "height" in pixels, got {size}')
            size = None
        if not isinstance(image.get('file_name') or image.get('coco_url'), str):
            report.fault('entry', f'{where}: expected "file_name"')
        else:
            files[image.get('file_name') or image['coco_url']] += 1
        if image['id'] in sizes:
            report.fault('duplicate', f'{where}: the id')
        sizes[image['id']] = size
    for file, count in files.items():
        if count > 1:
            report.fault('duplicate', f'images: {shorten(file)} ({count}x)')
    report.num_images = len(images)
    if not images:
        report.fault('entry', 'images: the list is empty')
    return sizes


def _check_annotations(
    report: SplitReport,
    annotations: list[dict],
    sizes: dict[object, tuple[int, int] | None],
    names: dict[object, str],
    classes: Sequence[str],
    need_area: bool,
) -> None:
    ids: set = set()
    filled: set = set()
    for index, annotation in enumerate(annotations):
        where = f'annotations[{index}] (id {shorten(str(annotation.get("id")))})'
        values = [annotation.get(key) for key in ('id', 'image_id', 'category_id')]
        if any(isinstance(value, list | dict | None) for value in values):
            report.fault('entry', f'{where}: expected "id", "image_id" and "category_id"')
            continue
        if values[0] in ids:
            report.fault('duplicate', f'{where}: the id')
        ids.add(values[0])
        if values[1] not in sizes:
            report.fault('entry', f'{where}: image_id {shorten(str(values[1]))} is not an image of the file')
            continue
        if values[2] not in names:
            report.fault(
                'label', f'{where}: category_id {shorten(str(values[2]))} is not a category of the file'
            )
            continue
        name = names[values[2]]
        if name not in classes:
            report.ignored[name] += 1
        elif annotation.get('ignore'):
            report.found('ignore', where)
        elif _box_is_usable(report, where, annotation, sizes[values[1]], need_area):
            report.objects[name] += 1
            filled.add(values[1])
    report.num_empty = report.num_images - len(filled)


def _box_is_usable(
    report: SplitReport, where: str, annotation: dict, size: tuple[int, int] | None, need_area: bool
) -> bool:
    box, area = annotation.get('bbox'), annotation.get('area', 0)
    numbers = [*box, area] if isinstance(box, list) else []
    if len(numbers) != 5 or not all(_is_number(number) for number in numbers):
        got = shorten(f'bbox {box!r}, area {annotation.get("area")!r}')
        report.fault('entry', f'{where}: expected "bbox" as [x, y, width, height] and "area", got {got}')
        return False
    if need_area and 'area' not in annotation:
        report.fault('entry', f'{where}: "area" is missing')
        return False
    if size is None:
        return False
    x, y, width, height = box
    if width < 0 or height < 0:
        report.fault('reversed', f'{where}: bbox {box} has a negative width or height')
        return False
    if width < 1 or height < 1 or (need_area and area <= 0):
        report.found('tiny', where)
        return False
    try:
        settle_box((x, y, x + width, y + height), 0, *size)
    except BoxError as error:
        report.fault(error.kind, f'{where}: {error}')
        return False
    if x < -1 or y < -1 or x + width > size[0] + 1 or y + height > size[1] + 1:
        report.found('beyond', where)
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _judge(report: SplitReport, classes: Sequence[str], whole: bool, need_objects: bool) -> None:
    """Check what only the complete file shows."""
    tiny = report.places('tiny')
    if len(tiny) > max(3, 0.05 * (len(tiny) + report.objects.total())):
        for where in tiny:  # a few are typos; many are fractions of the image
            report.fault('normalized', f'{where}: less than a pixel wide or high')
    if not report.objects and need_objects and not report.fault_text():
        report.fault('label', f'no object of classes {tuple(classes)[:NAMED_CLASSES]}: nothing to learn')
    absent = [name for name in classes if not report.objects[name]]
    if absent:
        shown = ', '.join(absent[:NAMED_CLASSES]) + (', ...' if len(absent) > NAMED_CLASSES else '')
        report.warnings.append(f'no object of {len(absent)} of {len(classes)} classes: {shown}')
    if report.ignored and not whole:
        shown = ', '.join(
            f'{shorten(repr(n))} {count}' for n, count in report.ignored.most_common(NAMED_CLASSES)
        )
        report.warnings.append(f'objects of categories that are not classes are left out: {shown}')
        report.ignored.clear()
    report.objects = Counter({name: report.objects[name] for name in classes})
