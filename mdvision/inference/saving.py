"""Write predictions: as JSON, CSV, annotations, pictures and videos."""

import csv
import json
from pathlib import Path
from types import TracebackType

import cv2
from PIL import Image

from mdvision.errors import UserError

from .drawing import draw_prediction
from .predictions import Classification, Detections
from .sources import Source

__all__ = ['FORMATS', 'Results']

FORMATS = ('json', 'csv', 'voc', 'coco', 'yolo')


class Results:
    """The folder of the results of one command; each prediction is written when it is made.

    Args:
        folder: created if it does not exist.
        formats: those of :data:`FORMATS` to write.
        model: whose predictions these are.
        source: the images.
        draw: also draw each picture, or the video.
        top: classes per image.
        overwrite: allow a folder that is not empty.

    Attributes:
        written: the files and folders, once the context has ended.

    Raises:
        UserError: the folder is not empty or cannot be written, or a classifier is to write boxes.
    """

    def __init__(
        self,
        folder: Path,
        formats: list[str],
        model,
        source: Source,
        draw: bool = True,
        top: int = 5,
        overwrite: bool = False,
    ):
        boxes = [one for one in formats if one in ('voc', 'coco', 'yolo')]
        if model.task != 'detection' and boxes:
            raise UserError(
                f'--save {" ".join(boxes)}: {model.description["name"]} is a classifier and has no boxes.'
            )
        if folder.is_file():
            raise UserError(f'{folder} is a file; --out is the folder of the results.')
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise UserError(
                f'The folder {folder} is not empty. Choose another --out, or allow it with --overwrite.'
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / '.writable'
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(f'{folder} cannot be written: {error.strerror}. Choose another --out.') from error
        self.folder, self.formats, self.model, self.source = folder, formats, model, source
        self.top, self.draws = top, draw
        self.written: list[Path] = []
        self._boxes = boxes
        self._detections: list[Detections] = []
        self._names: set[str] = set()
        self._video: cv2.VideoWriter | None = None

    def __enter__(self) -> 'Results':
        self._json = self._csv = None
        if 'json' in self.formats:
            self._json = self._open('predictions.json')
            head = dict(model=self.model.description['name'], classes=list(self.model.classes))
            self._json.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "images": [')
            self._first = True
        if 'csv' in self.formats:
            self._csv = self._open('predictions.csv')
            columns = (
                ('source', 'label', 'score', 'xmin', 'ymin', 'xmax', 'ymax')
                if self.model.task == 'detection'
                else ('source', 'rank', 'label', 'score')
            )
            self._rows = csv.writer(self._csv)
            self._rows.writerow(columns)
        return self

    def _open(self, name: str):
        self.written.append(self.folder / name)
        return (self.folder / name).open('w', newline='', encoding='utf-8')

    def add(self, one: Detections | Classification) -> None:
        """Write one prediction."""
        is_boxes = isinstance(one, Detections)
        content = one.to_dict() if is_boxes else one.to_dict(self.top)
        if self._json is not None:
            self._json.write(('\n' if self._first else ',\n') + json.dumps(content, ensure_ascii=False))
            self._first = False
        if self._csv is not None and is_boxes:
            self._rows.writerows(
                (one.source, found['label'], f'{found["score"]:.6f}', *(f'{v:.2f}' for v in found['box']))
                for found in content['objects']
            )
        elif self._csv is not None:
            self._rows.writerows(
                (one.source, rank, found['label'], f'{found["score"]:.6f}')
                for rank, found in enumerate(content['top'], start=1)
            )
        if self.draws:
            self._draw(one)

    def _draw(self, one: Detections | Classification) -> None:
        picture = draw_prediction(one)
        if self.source.video is None:
            folder = self.folder / 'images'
            folder.mkdir(exist_ok=True)
            stem = Path(one.source).stem or 'image'
            name, number = stem, 2
            while name in self._names:
                name, number = f'{stem}_{number}', number + 1
            self._names.add(name)
            Image.fromarray(picture).save(folder / f'{name}.jpg', quality=92)
            return
        if self._video is None:
            height, width = picture.shape[:2]
            path = self.folder / 'predictions.mp4'
            self._video = cv2.VideoWriter(
                str(path), cv2.VideoWriter_fourcc(*'mp4v'), self.source.video[0], (width, height)
            )
            if not self._video.isOpened():
                raise UserError(
                    f'{path} cannot be written as a video by this build of OpenCV. Use --no-draw.'
                )
            self.written.append(path)
        self._video.write(picture[..., ::-1])

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._json is not None:
            self._json.write('\n]}\n')
            self._json.close()
        if self._csv is not None:
            self._csv.close()
        if self._video is not None:
            self._video.release()
        if self._names:
            self.written.append(self.folder / 'images')
