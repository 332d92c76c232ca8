"""Write detections as annotations: to be corrected by hand, and then trained on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from mdvision.annotations import coco, voc, yolo
from mdvision.annotations.form import AnnotatedImage, Annotations, Box, ConversionReport
from mdvision.console import say
from mdvision.datasets.image_extensions import VOC_EXTENSIONS
from mdvision.datasets.voc_annotation import BoxError, settle_box
from mdvision.errors import UserError
from mdvision.text import shortlist

from .predictions import Detections

__all__ = ['ANNOTATION_FORMATS', 'AnnotationFiles']

ANNOTATION_FORMATS = dict(voc=voc, coco=coco, yolo=yolo)
SPLIT = 'train'  # every format needs one; tools/convert_data.py divides it


class AnnotationFiles:
    """Detections as annotations, one folder per format, written at the end.

    Boxes are clipped to the image; those below one pixel are left out. VOC and YOLO hold no scores;
    ``coco/detections.json`` has them, as COCO's results ``[{image_id, category_id, bbox, score}]``.

    Args:
        folder: that of the results.
        formats: those of :data:`ANNOTATION_FORMATS`.
        classes: the class names.

    Attributes:
        path: the folder, for messages.
        written: the folders that are there.

    Raises:
        UserError: there is such a folder, perhaps with annotations that somebody has corrected.
    """

    def __init__(self, folder: Path, formats: list[str], classes: tuple[str, ...]):
        for name in formats:
            place = folder / name
            if place.exists() and not (place.is_dir() and not any(place.iterdir())):
                raise UserError(
                    f'{place} exists, and its annotations may have been corrected by hand: --overwrite does '
                    'not replace them. Choose another --out, or remove the folder.'
                )
        self.path, self.formats, self.written = folder, formats, []
        self._data = Annotations(tuple(classes), settled=True)
        self._scores: list[list[float]] = []
        self._report = ConversionReport('', '')
        self._of_other_kind: list[str] = []

    def add(self, one: Detections, name: str) -> None:
        """Take the detections of an image file.

        Args:
            one: the detections.
            name: of the image in every format, without extension.

        Raises:
            UserError: the image is not a file.
        """
        path = Path(one.source)
        if not path.is_file():
            raise UserError(f'--save {" ".join(self.formats)}: {path} is no image file to annotate.')
        if path.suffix.lower() not in VOC_EXTENSIONS:
            self._of_other_kind.append(str(path))
            return
        height, width = one.size
        boxes, scores = [], []
        for index, (label, score, corners) in enumerate(zip(one.names, one.scores, one.boxes, strict=True)):
            where = f'{path} box {index + 1}'
            try:
                settled, _ = settle_box(tuple(map(float, corners)), 0, width, height)
            except BoxError:
                settled = None
            if settled is None:
                self._report.found('degenerate', where)
            else:
                boxes.append(Box(label, tuple(settled), where))
                scores.append(float(score))
        self._data.images.append(AnnotatedImage(name, path, str(path), (width, height), boxes, SPLIT))
        self._scores.append(scores)

    def close(self, complete: bool) -> None:
        """Write the folders; each appears complete or not at all."""
        if self._of_other_kind:
            say(
                f'warning: not annotated, as annotations can only be of {", ".join(VOC_EXTENSIONS)} files: '
                f'{shortlist(self._of_other_kind, 5)}'
            )
        if not self._data.images:
            return
        for name in self.formats:
            making = self.path / f'.{name}.incomplete'
            shutil.rmtree(making, ignore_errors=True)  # of a command that was killed
            try:
                making.mkdir()
                # Writers leave out boxes that their format cannot hold, and the next one may hold them.
                images = [replace(image, boxes=list(image.boxes)) for image in self._data.images]
                ANNOTATION_FORMATS[name].write(
                    replace(self._data, images=images), making, self._report, copy=False
                )
                if name == 'coco':
                    text = json.dumps(self._coco_results())
                    (making / 'detections.json').write_text(text, encoding='utf-8')
                if (self.path / name).exists():
                    (self.path / name).rmdir()
                making.rename(self.path / name)
            finally:
                shutil.rmtree(making, ignore_errors=True)
            self.written.append(self.path / name)
        for line in self._report.lines():
            say(f'warning: annotations: {line}')

    def _coco_results(self) -> list[dict]:
        """Return the detections with the ids of images and categories that the COCO writer gives."""
        numbers = {name: number for number, name in enumerate(self._data.classes, 1)}
        results = []
        for image_id, (image, scores) in enumerate(zip(self._data.images, self._scores, strict=True), 1):
            for box, score in zip(image.boxes, scores, strict=True):
                x1, y1, x2, y2 = box.corners
                bbox = [x1, y1, x2 - x1, y2 - y1]
                results.append(
                    dict(image_id=image_id, category_id=numbers[box.label], bbox=bbox, score=score)
                )
        return results
