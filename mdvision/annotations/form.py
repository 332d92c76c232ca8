"""The neutral form of box annotations, between any two formats, and what readers and writers share."""

import math
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os.path import isfile  # False for names that no file can have, where pathlib raises
from pathlib import Path, PurePosixPath

from mdvision.datasets.voc_report import FAULTS, REPAIRS, WARNINGS, SplitReport
from mdvision.errors import UserError
from mdvision.text import shortlist

__all__ = [
    'FLAGS',
    'SPLITS',
    'AnnotatedImage',
    'Annotations',
    'Box',
    'ConversionReport',
    'ReadOptions',
    'cannot_hold_flags',
    'finite',
    'image_folder',
    'image_id',
    'one_split_each',
    'place_image',
    'read_text',
    'resolved',
    'sorted_classes',
    'split_named',
]

SPLITS = ('train', 'val', 'test')
FLAGS = ('difficult', 'truncated', 'occluded')

_SPLIT_WORDS = {'train': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}


@dataclass
class Box:
    """One object.

    Attributes:
        label: its class.
        corners: (xmin, ymin, xmax, ymax) in pixels. As in the file when read; once settled, continuous
            coordinates, where the image reaches from 0 to its width and height.
        where: file and object, for messages.
        flags: those of ``FLAGS`` that are set.
    """

    label: str
    corners: tuple[float, float, float, float]
    where: str
    flags: frozenset[str] = frozenset()


@dataclass
class AnnotatedImage:
    """One image with its objects.

    Attributes:
        id: the path without extension that names it in every format, with ``/`` between folders.
        path: the image file.
        where: what names it, for messages.
        size: (width, height) in pixels, as stated by the annotation; None where it states none. Once settled,
            as a loader delivers the image.
        boxes: its objects.
        split: ``'train'``, ``'val'``, ``'test'``, or ``''`` where the source has none.
    """

    id: str
    path: Path
    where: str
    size: tuple[int, int] | None = None
    boxes: list[Box] = field(default_factory=list)
    split: str = ''

    @property
    def name(self) -> str:
        """The id with the extension of the file."""
        return self.id + self.path.suffix


@dataclass
class Annotations:
    """What a reader returns.

    Attributes:
        classes: class names, in the order of the labels.
        images: the images.
        base: how the boxes count pixels: 0 (continuous), or 1 (VOC's 1-based inclusive indices).
        settled: the reader has already settled sizes and boxes.
        folders: folders of images; a file in them that no annotation lists is named.
    """

    classes: tuple[str, ...] = ()
    images: list[AnnotatedImage] = field(default_factory=list)
    base: int = 0
    settled: bool = False
    folders: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class ReadOptions:
    """Options of a conversion that concern its reader.

    ``images`` is the folder of the images (None: found next to the annotations), ``box_base`` how VOC and CSV
    files count pixels (1, 0 or ``'auto'``), ``check`` how closely image files are checked.
    """

    images: Path | None = None
    box_base: int | str = 'auto'
    check: str = 'decode'


class ConversionReport(SplitReport):
    """What a conversion finds, leaves out and changes; :meth:`lines` has everything by name."""

    faults = {
        **FAULTS,
        'image kind': ('images of a kind that VOCDataset does not read', 'save them as .jpg or .png'),
        'same id': (
            'images whose names differ only in the extension or the folder',
            'rename all but one of them: an id is a file name without extension',
        ),
    }
    repairs = {
        **REPAIRS,
        'shape': 'shapes that are not boxes, left out',
        'enclosed': 'polygons and rotated boxes, replaced by the boxes around them',
        'mask': 'segmentations, left out: only boxes are kept',
        'crowd': 'crowd regions and ignored objects (iscrowd, ignore), taken as difficult',
        'attribute': 'attributes, left out',
        'flag': 'difficult, truncated or occluded objects, written without that flag',
        'one pixel': 'boxes one pixel wide or high, left out: such a VOC box counts as degenerate',
        'no split': 'images in no split, left out',
        'unlisted': 'image files without an annotation, left out',
        'unused class': 'classes without objects, which this format does not hold',
    }

    def lines(self, most: int | None = 10) -> list[str]:
        """Return one line per kind of change, with at most ``most`` places; None: all, one per line."""
        lines = [f'{self.what}: {warning}' for warning in self.warnings]
        for kind, title in {**self.repairs, **WARNINGS}.items():
            places = self.places(kind)
            if not places:
                continue
            shown = ''.join(f'\n    {place}' for place in places) if most is None else shortlist(places, most)
            lines.append(f'{title} ({len(places)}): {shown}')
        return lines


def read_text(path: Path, report: SplitReport) -> str | None:
    """Return the text of a UTF-8 file, without a byte order mark; None after a fault."""
    try:
        return path.read_bytes().decode('utf-8-sig')
    except UnicodeDecodeError as error:
        report.fault('entry', f'{path}: not UTF-8 text (byte {error.start}); save it as UTF-8')
    except OSError as error:
        report.fault('entry', f'{path}: cannot be read: {error.strerror}')
    return None


def finite(value: object) -> float | None:
    """Return a number of a file as a finite float, or None. ``1_000``, ``True`` and ``nan`` are none."""
    if isinstance(value, bool) or value is None or (isinstance(value, str) and '_' in value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def image_id(name: str) -> str:
    """Return the id of an image from its name in a file: the path without extension.

    Absolute names, and those that lead upwards, keep only the file's own name.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or re.match(r'[A-Za-z]:', name):
        path = PurePosixPath(path.name)
    return path.with_suffix('').as_posix() if path.name else ''


def resolved(folder: Path, name: str) -> tuple[Path, str]:
    """Return the file that ``name`` means in ``folder``, and the name with ``/`` between its parts."""
    if '\\' in name and not isfile(folder / name):
        name = name.replace('\\', '/')
    return folder / name, name


def image_folder(options: ReadOptions, candidates: Iterable[Path], names: Sequence[str]) -> Path:
    """Return the folder of the images: the given one, or the candidate that holds most of ``names``.

    Raises:
        UserError: the given one does not exist.
    """
    if options.images is not None:
        if not options.images.is_dir():
            raise UserError(f'--images: there is no folder {options.images}.')
        return options.images
    some = names[:: max(1, len(names) // 100)]  # enough to tell folders apart
    folders = [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]
    return max(folders, key=lambda folder: sum(isfile(resolved(folder, name)[0]) for name in some))


def split_named(name: str) -> str:
    """Return the split that a file or folder name means (``instances_val2017``: ``'val'``), or ``''``."""
    words = re.findall(r'(?<![a-z])(train|validation|valid|val|test)(?![a-z])', name.lower())
    found = {_SPLIT_WORDS[word] for word in words}
    return found.pop() if len(found) == 1 else ''


def one_split_each(files: Sequence[Path], source: Path) -> dict[Path, str]:
    """Return {file: split} of annotation files, by their names or those of their folders.

    Raises:
        UserError: there are several files, and not each is a split of its own.
    """
    if len(files) == 1:
        return {files[0]: ''}
    splits = {file: split_named(file.stem) or split_named(file.parent.name) for file in files}
    wrong = [file for file in files if not splits[file] or list(splits.values()).count(splits[file]) > 1]
    if wrong:
        named = shortlist([file.relative_to(source) for file in wrong], 8)
        raise UserError(
            f'{source} has {len(files)} annotation files, and these are not one each of train, val and test '
            f'by their names: {named}. Name one of the files instead of the folder, or move the others away.'
        )
    return splits


def sorted_classes(images: Iterable[AnnotatedImage]) -> tuple[str, ...]:
    """Return the class names of all boxes, sorted: for formats that have no list of classes."""
    return tuple(sorted({box.label for image in images for box in image.boxes}))


def cannot_hold_flags(data: Annotations, report: SplitReport) -> None:
    """Name every object with a flag, for a format without flags."""
    for image in data.images:
        for box in image.boxes:
            if box.flags:
                report.found('flag', f'{box.where} ({", ".join(sorted(box.flags))})')


def place_image(image: AnnotatedImage, target: Path, copy: bool) -> None:
    """Put an image file at ``target``: as a hard link, or as a copy if asked for or nothing else works."""
    target.parent.mkdir(parents=True, exist_ok=True)
    original = image.path.resolve()
    if not copy:
        try:
            target.hardlink_to(original)
            return
        except OSError:  # another file system, or one without links
            target.unlink(missing_ok=True)
    shutil.copy2(original, target)
