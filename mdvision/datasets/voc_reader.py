"""Read one VOC split completely: check every file, gather every problem, then judge them together.

The result is mmdet's list of dicts, but this module imports no upstream library.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mdvision.errors import UserError, did_you_mean

from .image_check import ImageFacts, SizeError, check_image, check_images, settle_size
from .image_extensions import VOC_EXTENSIONS
from .voc_annotation import (
    AnnotationError,
    BoxError,
    VOCAnnotation,
    VOCObject,
    parse_voc_xml,
    read_split,
    settle_box,
    shorten,
)
from .voc_report import SplitReport

__all__ = ['VOCReader']

VOC_CLASSES = {
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable'),
    *('dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
}
NAMED_CLASSES = 10  # in a warning


@dataclass
class VOCReader:
    """Read one VOC split. :meth:`read` runs once and leaves its findings in ``report``.

    ``loader_turns``: the pipeline's image loader obeys EXIF orientation. ``min_box_side``: boxes with a
    shorter side (pixels) are marked as ignored. ``need_objects``: a split without any object is an error.
    """

    root: Path
    split_file: Path
    classes: tuple[str, ...]
    img_subdir: str = 'JPEGImages'
    ann_subdir: str = 'Annotations'
    box_base: int | str = 'auto'
    ignore_classes: tuple[str, ...] = ()
    check_images: str = 'decode'
    loader_turns: bool = True
    min_box_side: float = 0
    need_objects: bool = True
    report: SplitReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = SplitReport(self._name(self.split_file), str(self.root))

    def read(self) -> list[dict]:
        """Return every image of the split.

        Raises:
            UserError: one message with all problems found.
        """
        self._check_layout()
        ids = read_split(self.split_file)
        self.report.num_images = len(ids)
        annotations = self._read_annotations(ids)
        self._count_names(annotations.values())
        base = self._settle_base(annotations.values())
        images = self._find_images(annotations)
        data_list = []
        for image_id, facts in self._look_at(images, annotations).items():
            annotation = annotations[image_id]
            size = self._settle_size(annotation, images[image_id], facts)
            if size is None:
                continue
            data_list.append(
                {
                    'img_path': str(images[image_id]),
                    'img_id': image_id,
                    'xml_path': annotation.path,
                    'height': size[1],
                    'width': size[0],
                    'instances': self._settle_objects(annotation, base, size),
                }
            )
        self._judge(data_list)
        return data_list

    def _name(self, path: str | Path) -> str:
        """Return a path relative to the root, as messages show it."""
        try:
            return Path(path).relative_to(self.root).as_posix()
        except ValueError:
            return str(path)

    def _check_layout(self) -> None:
        """Check that the folders and the split file exist.

        Raises:
            UserError: one is missing.
        """
        missing = []
        if not self.root.is_dir():
            missing.append(f'no folder {self.root} (data_root)')
        else:
            missing += [
                f'no folder {self.root / name} ({option})'
                for name, option in ((self.img_subdir, 'img_subdir'), (self.ann_subdir, 'ann_subdir'))
                if not (self.root / name).is_dir()
            ]
            if not self.split_file.is_file():
                there = sorted(path.name for path in self.split_file.parent.glob('*.txt'))
                listed = f'; there are {", ".join(there[:8])}' if there else ''
                hint = did_you_mean(self.split_file.name, there)
                missing.append(f'no split file {self.split_file} (ann_file){listed}.{hint}')
        if not missing:
            return
        lines = ['VOC data is missing:', *(f'    {line}' for line in missing)]
        if set(self.classes) == VOC_CLASSES or any(n in str(self.split_file) for n in ('VOCdevkit', 'VOC20')):
            lines.append(
                '  PASCAL VOC: host.robots.ox.ac.uk/pascal/VOC. Unpack it to '
                'data/VOCdevkit/VOC2007/{JPEGImages,Annotations,ImageSets/Main}, or set data_root.'
            )
        else:
            lines.append(
                f'  Expected {self.img_subdir} and {self.ann_subdir} in data_root, and ann_file below it.'
            )
        lines.append(
            '  Without data of your own: python tools/train.py configs/emanet/faster_rcnn_minivoc.py '
            'generates its own.'
        )
        raise UserError('\n'.join(lines))

    def _read_annotations(self, ids: list[str]) -> dict[str, VOCAnnotation]:
        annotations = {}
        for image_id in ids:
            path = self.root / self.ann_subdir / f'{image_id}.xml'
            if not path.is_file():
                named = Path(image_id).suffix.lower() in VOC_EXTENSIONS
                hint = ' (the split should list ids: remove the extensions)' if named else ''
                self.report.fault('no xml', self._name(path) + hint)
                continue
            try:
                annotations[image_id] = parse_voc_xml(path)
            except AnnotationError as error:
                for fault in error.faults:
                    self.report.fault('xml', f'{self._name(path)}: {fault}')
        return annotations

    def _count_names(self, annotations: Iterable[VOCAnnotation]) -> None:
        """Count ignored classes; record one fault per unknown name."""
        unknown: Counter[str] = Counter()
        first: dict[str, str] = {}
        for annotation in annotations:
            for item in annotation.objects:
                if item.name in self.ignore_classes:
                    self.report.ignored[item.name] += 1
                elif item.name not in self.classes:
                    unknown[item.name] += 1
                    first.setdefault(item.name, f'{self._name(annotation.path)} object {item.index}')
        for name, count in unknown.most_common():
            hint = did_you_mean(name, self.classes)
            self.report.fault('class', f'{shorten(repr(name))}: {count} objects, first {first[name]}.{hint}')
        self.report.unknown = tuple(shorten(name) for name, _ in unknown.most_common(NAMED_CLASSES))

    def _settle_base(self, annotations: Iterable[VOCAnnotation]) -> int:
        """Return 0 or 1, from ``box_base`` or the whole split; the summary says which and why."""
        zeros = [
            f'{self._name(annotation.path)} object {item.index}'
            for annotation in annotations
            for item in annotation.objects
            # A box within 0..1 is a placeholder or a fraction and says nothing about the base.
            if max(item.box) > 1 and (0 <= item.box[0] < 1 or 0 <= item.box[1] < 1)
        ]
        if self.box_base == 'auto':
            base = 0 if zeros else 1
            why = f'{len(zeros)} begin at 0: {zeros[0]}' if zeros else 'none begins at 0'
            self.report.boxes = f'boxes {base}-based (auto: {why})'
            return base
        self.report.boxes = f'boxes {self.box_base}-based'
        if self.box_base == 1 and zeros:
            self.report.warnings.append(
                f'box_base=1, but {len(zeros)} boxes begin at 0, which is impossible in 1-based files (first '
                f'{zeros[0]}). If the files count from 0, set box_base=0'
            )
        return self.box_base

    def _find_images(self, annotations: dict[str, VOCAnnotation]) -> dict[str, Path]:
        """Return {id: image}: the file named by the id; of several extensions the one in ``<filename>``.

        Another ``<filename>`` is used only if no such file exists: copied annotation files often keep the
        name of the image they were copied from.
        """
        listings: dict[Path, dict[str, list[str]]] = {}
        images: dict[str, Path] = {}
        owners: dict[Path, str] = {}
        for image_id, annotation in annotations.items():
            by_id = self.root / self.img_subdir / image_id
            folder, stem, stated = by_id.parent, by_id.name, annotation.filename
            if folder not in listings:
                listings[folder] = _images_by_stem(folder)
            named = listings[folder].get(stem, [])
            stated_exists = bool(stated) and stated in listings[folder].get(Path(stated).stem, [])
            if named:
                chosen = stated if stated in named else named[0]
                if not chosen.endswith('.jpg'):
                    self.report.found('suffix', f'{self.img_subdir}/{chosen}')
                if stated_exists and stated not in named:
                    self.report.found('filename', f'{self._name(annotation.path)} ({shorten(stated)})')
            elif stated_exists:
                chosen = stated
                self.report.found('renamed', f'{self._name(annotation.path)} ({shorten(stated)})')
            else:
                also = f' nor {shorten(stated)}' if stated and Path(stated).stem != stem else ''
                self.report.fault(
                    'no image', f'{self._name(by_id)}.jpg (nor {", ".join(VOC_EXTENSIONS[1:])}{also})'
                )
                continue
            path = folder / chosen
            if path in owners:
                self.report.fault('same image', f'{self._name(path)}: {owners[path]} and {image_id}')
            owners[path] = image_id
            images[image_id] = path
        return images

    def _look_at(self, images: dict[str, Path], annotations: dict) -> dict[str, ImageFacts | None]:
        """Return {id: facts about its image}; None where none are needed."""
        if self.check_images == 'none':
            return {
                image_id: check_image(str(path), 'none') if annotations[image_id].width is None else None
                for image_id, path in images.items()
            }
        found = check_images([str(path) for path in images.values()], self.check_images)
        return dict(zip(images, found, strict=True))

    def _settle_size(
        self, annotation: VOCAnnotation, image: Path, facts: ImageFacts | None
    ) -> tuple[int, int] | None:
        """Return (width, height) as the loader delivers the image; None after a fault."""
        if facts is None:
            return annotation.width, annotation.height
        if facts.fault:
            self.report.fault('image', f'{self._name(image)} {facts.fault}')
            return None
        if facts.sixteen_bit:
            self.report.found('16 bit', self._name(image))
        if facts.complaint:
            self.report.found('damaged', f'{self._name(image)} ({facts.complaint})')
        stated = None if annotation.width is None else (annotation.width, annotation.height)
        corners = [(max(o.box[0], o.box[2]), max(o.box[1], o.box[3])) for o in annotation.objects]
        try:
            size, repair = settle_size(facts, stated, corners, self.loader_turns)
        except SizeError as error:
            self.report.fault(error.kind, f'{self._name(image)}: {error}')
            return None
        if repair:
            self.report.found(repair, self._name(image if repair == 'orientation' else annotation.path))
        return size

    def _settle_objects(self, annotation: VOCAnnotation, base: int, size: tuple[int, int]) -> list[dict]:
        instances = []
        for item in annotation.objects:
            if item.name not in self.classes:
                continue
            where = f'{self._name(annotation.path)} object {item.index}'
            try:
                box, repairs = settle_box(item.box, base, *size)
            except BoxError as error:
                self.report.fault(error.kind, f'{where}: {error}')
                continue
            for repair in repairs if box else ('degenerate',):
                self.report.found(repair, where)
            if item.odd_difficult == 'missing':
                self.report.found('difficult missing', where)
            elif item.odd_difficult:
                self.report.found('difficult odd', f'{where} ({item.odd_difficult})')
            if box:
                instances.append(self._instance(item, box))
        return instances

    def _instance(self, item: VOCObject, box: list[float]) -> dict:
        small = min(box[2] - box[0], box[3] - box[1]) < self.min_box_side
        self.report.num_small += small
        self.report.num_difficult += item.difficult
        self.report.objects[item.name] += 1
        return {
            'bbox': box,
            'bbox_label': self.classes.index(item.name),
            'ignore_flag': int(item.difficult or small),
            'difficult': int(item.difficult),
            'truncated': int(item.truncated),
            'occluded': int(item.occluded),
        }

    def _judge(self, data_list: list[dict]) -> None:
        """Check what only the whole split shows, then raise if any fault was found."""
        report = self.report
        report.num_empty = sum(not info['instances'] for info in data_list)
        total = report.objects.total()
        swapped = report.places('swapped')
        if len(swapped) > max(3, 0.05 * total):
            for where in swapped:
                report.fault('reversed', where)
        report.raise_faults()
        if total == 0 and self.need_objects:
            raise UserError(
                f'VOC split {report.split} ({report.num_images} images, folder {self.root}) has no object of '
                f'classes {self.classes}: there is nothing to learn. Check ann_file, classes and '
                'ignore_classes.'
            )
        absent = [name for name in self.classes if not report.objects[name]]
        if absent:
            shown = ', '.join(absent[:NAMED_CLASSES]) + (', ...' if len(absent) > NAMED_CLASSES else '')
            report.warnings.append(f'no object of {len(absent)} of {len(self.classes)} classes: {shown}')
        report.objects = Counter({name: report.objects[name] for name in self.classes})


def _images_by_stem(folder: Path) -> dict[str, list[str]]:
    """Return {stem: image files with that stem in ``folder``}, the usual extension first."""
    found: dict[str, list[str]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix.lower() in VOC_EXTENSIONS:
            found.setdefault(path.stem, []).append(path.name)
    for names in found.values():
        names.sort(key=lambda name: (VOC_EXTENSIONS.index(Path(name).suffix.lower()), name))
    return found
