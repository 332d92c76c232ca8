"""Hold what a reader found against the image files, by the rules of VOCDataset."""

from collections import Counter, defaultdict
from os.path import isfile  # False for names that no file can have, where pathlib raises
from pathlib import Path

from mdvision.datasets.image_check import SizeError, check_images, settle_size
from mdvision.datasets.image_extensions import VOC_EXTENSIONS
from mdvision.datasets.voc_annotation import BoxError, settle_box, shorten

from .form import AnnotatedImage, Annotations, ConversionReport

__all__ = ['settle']


def settle(data: Annotations, report: ConversionReport, check: str) -> None:
    """Settle sizes, boxes and ids in place; record every fault, repair and warning in ``report``.

    Args:
        data: what a reader returned; afterwards every box has continuous coordinates within its image.
        report: where the findings go; whoever calls this raises its faults.
        check: how closely image files are checked: ``'decode'`` or ``'header'``.
    """
    report.num_images = len(data.images)
    for name in data.classes:
        if not name or name != name.strip():
            report.fault('entry', f'class {shorten(repr(name))}: expected a name without spaces around it')
    _check_case(data, report)
    if not data.settled:
        _settle_images(data, report, check)
    there = [image for image in data.images if isfile(image.path)]
    _settle_ids(there, report)
    if not report.fault_text():
        _name_unlisted(there, data.folders, report)


def _check_case(data: Annotations, report: ConversionReport) -> None:
    """Warn of names such as ``Cat`` and ``cat``, which are two classes."""
    counts = Counter(box.label for image in data.images for box in image.boxes)
    alike = defaultdict(list)
    for name in counts:
        alike[''.join(name.lower().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = ', '.join(f'{name!r} {counts[name]}' for name in sorted(names))
            report.warnings.append(f'class names that differ only in case or spaces: {shown}')


def _name_unlisted(images: list[AnnotatedImage], folders: list[Path], report: ConversionReport) -> None:
    """Name the image files that no annotation lists."""
    seen = {image.path.resolve() for image in images}
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.rglob('*')):
            if path.suffix.lower() in VOC_EXTENSIONS and path.resolve() not in seen:
                seen.add(path.resolve())
                report.found('unlisted', path.relative_to(folder).as_posix())


def _settle_images(data: Annotations, report: ConversionReport, check: str) -> None:
    present = []
    for image in data.images:
        if not isfile(image.path):
            report.fault('no image', f'{image.path} ({image.where})')
        elif image.path.suffix.lower() not in VOC_EXTENSIONS:
            report.fault('image kind', f'{image.path} (not {", ".join(VOC_EXTENSIONS)})')
        else:
            present.append(image)
    found = check_images([str(image.path) for image in present], check)
    for image, facts in zip(present, found, strict=True):
        if facts.fault:
            report.fault('image', f'{image.path} {facts.fault}')
            continue
        if facts.sixteen_bit:
            report.found('16 bit', str(image.path))
        if facts.complaint:
            report.found('damaged', f'{image.path} ({facts.complaint})')
        corners = [(max(b.corners[0::2]), max(b.corners[1::2])) for b in image.boxes]
        try:
            image.size, repair = settle_size(facts, image.size, corners, True, image.where)
        except SizeError as error:
            report.fault(error.kind, f'{image.path}: {error}')
            continue
        if repair == 'exchanged' or (repair == 'orientation' and image.boxes):
            report.found(repair, image.where)
        _settle_boxes(image, data.base, report)
    total = sum(len(image.boxes) for image in data.images)
    swapped = report.places('swapped')
    if len(swapped) > max(3, 0.05 * total):
        for where in swapped:
            report.fault('reversed', where)


def _settle_boxes(image: AnnotatedImage, base: int, report: ConversionReport) -> None:
    kept = []
    for box in image.boxes:
        try:
            settled, repairs = settle_box(box.corners, base, *image.size)
        except BoxError as error:
            report.fault(error.kind, f'{box.where}: {error}')
            continue
        for repair in repairs if settled else ('degenerate',):
            report.found(repair, box.where)
        if settled:
            box.corners = tuple(settled)
            kept.append(box)
    image.boxes = kept


def _settle_ids(images: list[AnnotatedImage], report: ConversionReport) -> None:
    """Give every image an id of its own; where splits share names, their split is its first folder."""
    by_file: dict = {}
    for image in images:
        first = by_file.setdefault(image.path.resolve(), image)
        if first is not image:
            report.fault('duplicate', f'{image.path}: {first.where} and {image.where}')
    if len({image.id for image in images}) < len(images) and all(image.split for image in images):
        for image in images:
            image.id = f'{image.split}/{image.id}'
    by_id: dict[str, AnnotatedImage] = {}
    for image in images:
        first = by_id.setdefault(image.id, image)
        if first is not image and first.path.resolve() != image.path.resolve():
            report.fault('same id', f'{first.path} and {image.path}')
