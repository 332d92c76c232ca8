"""PASCAL VOC: one XML file per image, read by :class:`~mdvision.datasets.voc_reader.VOCReader`."""

import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from mdvision.datasets.voc_annotation import AnnotationError, parse_voc_xml, read_split, settle_box
from mdvision.datasets.voc_reader import VOCReader
from mdvision.errors import UserError

from .form import (
    FLAGS,
    SPLITS,
    AnnotatedImage,
    Annotations,
    Box,
    ConversionReport,
    ReadOptions,
    place_image,
)

__all__ = ['drop_what_counts_as_degenerate', 'finds', 'read', 'voc_numbers', 'write']

_HELD = {'name', 'bndbox', 'pose', *FLAGS}


def finds(source: Path) -> bool:
    """Return whether ``source`` is a folder in VOC layout."""
    return (source / 'Annotations').is_dir() and any((source / 'Annotations').rglob('*.xml'))


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read a VOC folder: every file in ``Annotations``, and the split files in ``ImageSets/Main``."""
    folder = source / 'Annotations'
    files = sorted(folder.rglob('*.xml')) if folder.is_dir() else []
    if not files:
        raise UserError(f'{source}: expected VOC layout with XML files in {folder}; there are none.')
    if options.images is not None and not options.images.is_dir():
        raise UserError(f'--images: there is no folder {options.images}.')
    ids = [file.relative_to(folder).with_suffix('').as_posix() for file in files]
    classes = sorted({name for file in files for name in _names(file)})
    splits = _read_splits(source, report)
    missing = [name for name in splits if name not in set(ids)]
    for name in missing:
        report.fault('no xml', f'Annotations/{name}.xml')
    data_list = _read_all(source, ids, tuple(classes), report, options)
    data = Annotations(tuple(classes), settled=True)
    data.folders.append(options.images or source / 'JPEGImages')
    for info in data_list:
        where = f'Annotations/{info["img_id"]}.xml'
        boxes = [
            Box(
                classes[instance['bbox_label']],
                tuple(instance['bbox']),
                f'{where} box {index}',
                frozenset(flag for flag in FLAGS if instance[flag]),
            )
            for index, instance in enumerate(info['instances'], 1)
        ]
        image = AnnotatedImage(info['img_id'], Path(info['img_path']), where)
        image.size, image.boxes = (info['width'], info['height']), boxes
        image.split = splits.get(info['img_id'], '')
        data.images.append(image)
        _name_extras(Path(info['xml_path']), where, report)
    return data


def _names(file: Path) -> set[str]:
    try:
        return {item.name for item in parse_voc_xml(file).objects}
    except AnnotationError:  # VOCReader reports it
        return set()


def _read_splits(source: Path, report: ConversionReport) -> dict[str, str]:
    """Return {id: split} of the split files; ``trainval`` stands in for missing ``train`` and ``val``."""
    listed: dict[str, str] = {}
    folder = source / 'ImageSets' / 'Main'
    for split in SPLITS:
        file = folder / f'{split}.txt'
        if split == 'train' and not file.is_file() and not (folder / 'val.txt').is_file():
            file = folder / 'trainval.txt'
        for name in read_split(file) if file.is_file() else ():
            if name in listed:
                report.fault('duplicate', f'{name} in {listed[name]}.txt and {split}.txt')
            listed[name] = split
    return listed


def _read_all(
    source: Path, ids: list[str], classes: tuple[str, ...], report: ConversionReport, options: ReadOptions
) -> list[dict]:
    """Return mmdet's dicts of every image; [] after faults."""
    with tempfile.TemporaryDirectory(prefix='mdvision_') as folder:
        everything = Path(folder) / 'all.txt'
        everything.write_text('\n'.join(ids), encoding='utf-8')
        images = str(options.images.resolve()) if options.images else 'JPEGImages'
        reader = VOCReader(
            source, everything, classes, images, box_base=options.box_base,
            check_images=options.check, need_objects=False,
        )  # fmt: skip
        try:
            data_list = reader.read()
        except UserError:
            if not reader.report.fault_text():
                raise
            data_list = []
    report.absorb(reader.report)
    report.boxes = reader.report.boxes
    return data_list


def _name_extras(file: Path, where: str, report: ConversionReport) -> None:
    """Name what an object has beyond box, name and flags: a part, a mask, a pose."""
    for index, item in enumerate(ET.parse(file).getroot().findall('object'), 1):
        extras = {node.tag for node in item if isinstance(node.tag, str)} - _HELD
        pose = (item.findtext('pose') or '').strip()
        if pose and pose != 'Unspecified':
            extras.add('pose')
        if extras:
            report.found('attribute', f'{where} object {index} ({", ".join(sorted(extras))})')


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write ``Annotations``, ``JPEGImages`` and ``ImageSets/Main`` into the folder ``target``."""
    drop_what_counts_as_degenerate(data, report)
    splits: dict[str, list[str]] = {}
    for image in data.images:
        place_image(image, target / 'JPEGImages' / image.name, copy)
        file = target / 'Annotations' / f'{image.id}.xml'
        file.parent.mkdir(parents=True, exist_ok=True)
        tree = ET.ElementTree(_annotation(image))
        ET.indent(tree)
        tree.write(file, encoding='utf-8')
        splits.setdefault(image.split, []).append(image.id)
    lists = target / 'ImageSets' / 'Main'
    lists.mkdir(parents=True)
    for split, names in splits.items():
        (lists / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names), encoding='utf-8')


def drop_what_counts_as_degenerate(data: Annotations, report: ConversionReport) -> None:
    """Leave out boxes that VOC's numbers cannot tell from degenerate ones: xmin and xmax would be equal."""
    for image in data.images:
        kept = []
        for box in image.boxes:
            if settle_box(voc_numbers(box), 1, *image.size)[0]:
                kept.append(box)
            else:
                report.found('one pixel', box.where)
        image.boxes = kept


def voc_numbers(box: Box) -> tuple[float, float, float, float]:
    """Return (xmin, ymin, xmax, ymax) as VOC counts, from 1 and inclusive, to a millionth of a pixel."""
    x1, y1, x2, y2 = box.corners
    return tuple(round(value, 6) for value in (x1 + 1, y1 + 1, x2, y2))


def _annotation(image: AnnotatedImage) -> ET.Element:
    root = ET.Element('annotation')
    ET.SubElement(root, 'folder').text = 'JPEGImages'
    ET.SubElement(root, 'filename').text = image.name.rpartition('/')[2]
    size = ET.SubElement(root, 'size')
    for key, value in zip(('width', 'height', 'depth'), (*image.size, 3), strict=True):
        ET.SubElement(size, key).text = str(value)
    for box in image.boxes:
        item = ET.SubElement(root, 'object')
        ET.SubElement(item, 'name').text = box.label
        ET.SubElement(item, 'pose').text = 'Unspecified'
        for flag in FLAGS:
            ET.SubElement(item, flag).text = str(int(flag in box.flags))
        bounds = ET.SubElement(item, 'bndbox')
        for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), voc_numbers(box), strict=True):
            ET.SubElement(bounds, key).text = f'{value:.6f}'.rstrip('0').rstrip('.')
    return root
