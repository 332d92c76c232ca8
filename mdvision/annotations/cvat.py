"""CVAT for images 1.1: one XML file with a list of images and their shapes."""

import math
import xml.etree.ElementTree as ET
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
    resolved,
    sorted_classes,
    split_named,
)

__all__ = ['finds', 'read', 'write']

_CORNERS = ('xtl', 'ytl', 'xbr', 'ybr')
_HELD = {'label', 'occluded', 'rotation', 'source', 'z_order', *_CORNERS}


def finds(source: Path) -> bool:
    """Return whether ``source`` is a CVAT file or a folder with one."""
    return bool(_files(source))


def _files(source: Path) -> list[Path]:
    files = [source] if source.is_file() else sorted(source.glob('*.xml'))
    return [f for f in files if f.suffix.lower() == '.xml' and b'<annotations' in f.read_bytes()[:4096]]


def read(source: Path, report: ConversionReport, options: ReadOptions) -> Annotations:
    """Read one CVAT file, or a folder with one per split; ``subset`` of an image is its split."""
    files = _files(source)
    if not files:
        raise UserError(f'{source}: expected an XML file of "CVAT for images 1.1"; there is none.')
    data = Annotations()
    listed: list[str] = []
    for file, split in one_split_each(files, source).items():
        try:
            root = ET.fromstring(file.read_bytes())
        except (ET.ParseError, LookupError, ValueError) as error:
            report.fault('entry', f'{file.name}: malformed XML, {error}')
            continue
        if root.find('track') is not None:
            raise UserError(
                f'{file} is "CVAT for video 1.1" (it has tracks). Export the task as "CVAT for images 1.1".'
            )
        labels = [(node.text or '').strip() for node in root.iterfind('meta//labels/label/name')]
        _read_images(root, file, split, labels, data, report, options)
        listed += [label for label in labels if label not in listed]
    data.classes = tuple(listed) or sorted_classes(data.images)
    return data


def _read_images(
    root: ET.Element,
    file: Path,
    split: str,
    labels: list[str],
    data: Annotations,
    report: ConversionReport,
    options: ReadOptions,
) -> None:
    nodes = root.findall('image')
    names = [node.get('name', '') for node in nodes]
    folder = image_folder(options, [file.parent, file.parent / 'images', file.parent.parent], names)
    images = []
    for number, node in enumerate(nodes, 1):
        where = f'{file.name} image {number} ({shorten(node.get("name", ""))})'
        size = [finite(node.get(side)) for side in ('width', 'height')]
        if not node.get('name') or None in size or min(size) < 1:
            report.fault('entry', f'{where}: expected name, width and height')
            continue
        path, name = resolved(folder, node.get('name'))
        image = AnnotatedImage(image_id(name), path, where, (int(size[0]), int(size[1])))
        image.split = split or split_named(node.get('subset', ''))
        for index, shape in enumerate(node, 1):
            box = _read_shape(shape, f'{where} shape {index}', labels, report)
            if box is not None:
                image.boxes.append(box)
        images.append(image)
    data.images += images
    data.folders.append(folder)


def _read_shape(node: ET.Element, where: str, labels: list[str], report: ConversionReport) -> Box | None:
    """Return a box; None after a fault, or for another shape, which is named."""
    label = (node.get('label') or '').strip()
    if node.tag != 'box':
        report.found('shape', f'{where} ({node.tag} {shorten(label)})')
        return None
    values = [finite(node.get(key)) for key in _CORNERS]
    rotation = finite(node.get('rotation', '0'))
    if None in values or rotation is None:
        given = {key: node.get(key) for key in (*_CORNERS, 'rotation') if node.get(key) is not None}
        report.fault(
            'entry', f'{where}: expected {", ".join(_CORNERS)} as numbers, got {shorten(str(given))}'
        )
        return None
    if not label or (labels and label not in labels):
        report.fault('label', f'{where}: {label!r} is not a label of the task: {", ".join(labels)}')
        return None
    if rotation % 360:
        values = _enclosing(values, math.radians(rotation))
        report.found('enclosed', where)
    return Box(label, tuple(values), where, _flags(node, where, report))


def _enclosing(corners: list[float], angle: float) -> list[float]:
    """Return the box around a box that is turned about its center by ``angle``, in radians."""
    x1, y1, x2, y2 = corners
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = x2 - x1, y2 - y1
    across, down = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return [x - across, y - down, x + across, y + down]


def _flags(node: ET.Element, where: str, report: ConversionReport) -> frozenset[str]:
    """Return the flags: ``occluded``, and attributes named like flags; name what else there is."""
    flags = {'occluded'} if node.get('occluded') == '1' else set()
    extras = [key for key, value in node.attrib.items() if key not in _HELD and value not in ('', '0')]
    for attribute in node.iterfind('attribute'):
        name, value = attribute.get('name', ''), (attribute.text or '').strip()
        if name in FLAGS:
            flags |= {name} if value.lower() in ('true', '1') else set()
        else:
            extras.append(f'{name}={value}')
    if extras:
        report.found('attribute', f'{where} ({shorten(", ".join(extras))})')
    return frozenset(flags)


def write(data: Annotations, target: Path, report: ConversionReport, copy: bool) -> None:
    """Write ``annotations.xml`` and ``images`` into the folder ``target``."""
    root = ET.Element('annotations')
    ET.SubElement(root, 'version').text = '1.1'
    labels = ET.SubElement(ET.SubElement(ET.SubElement(root, 'meta'), 'task'), 'labels')
    for name in data.classes:
        label = ET.SubElement(labels, 'label')
        ET.SubElement(label, 'name').text = name
        attributes = ET.SubElement(label, 'attributes')
        for flag in ('difficult', 'truncated'):
            attribute = ET.SubElement(attributes, 'attribute')
            for key, value in (('name', flag), ('mutable', 'False'), ('input_type', 'checkbox'),
                               ('default_value', 'false'), ('values', 'false')):  # fmt: skip
                ET.SubElement(attribute, key).text = value
    for number, image in enumerate(data.images):
        place_image(image, target / 'images' / image.name, copy)
        width, height = map(str, image.size)
        given = dict(id=str(number), name=image.name, subset=image.split, width=width, height=height)
        node = ET.SubElement(root, 'image', given)
        for box in image.boxes:
            corners = {key: f'{v:.6f}' for key, v in zip(_CORNERS, box.corners, strict=True)}
            occluded = str(int('occluded' in box.flags))
            shape = ET.SubElement(
                node, 'box', dict(label=box.label, source='manual', occluded=occluded, **corners, z_order='0')
            )
            for flag in ('difficult', 'truncated'):
                ET.SubElement(shape, 'attribute', dict(name=flag)).text = str(flag in box.flags).lower()
    tree = ET.ElementTree(root)
    ET.indent(tree)
    tree.write(target / 'annotations.xml', encoding='utf-8', xml_declaration=True)
