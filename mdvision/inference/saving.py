"""Write predictions: as JSON, CSV, annotations, pictures and videos."""

import contextlib
import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from mdvision.console import say
from mdvision.errors import UserError
from mdvision.text import shortlist

from .annotating import ANNOTATION_FORMATS, AnnotationFiles
from .drawing import draw_prediction, unwritable_names
from .predictions import Classification, Detections
from .sources import Source

if TYPE_CHECKING:
    from .trained import TrainedModel

__all__ = ['FORMATS', 'Results']

FORMATS = ('json', 'csv', *ANNOTATION_FORMATS)
_QUALITY = dict(quality=92, subsampling=0)  # of JPEG; subsampled colors would blur the letters


class Results:
    """The folder of the results of one command.

    Each prediction is written when it is made, and nothing of it is kept, except for the boxes of annotation
    formats. What was written is whole also when the command is interrupted; predictions.json then says
    ``"complete": false``.

    Args:
        folder: created if it does not exist.
        formats: those of :data:`FORMATS` to write.
        model: whose predictions these are.
        source: the images.
        draw: also draw each picture, or the video.
        top: classes per image.
        overwrite: allow a folder that is not empty. Files of the same names are replaced, but no annotations.

    Attributes:
        written: the files and folders, once the context has ended.

    Raises:
        UserError: the folder is not empty or cannot be written, the disk is full, a source image would be
            overwritten, or annotations are to be written of a classifier or a video.
    """

    def __init__(
        self,
        folder: Path,
        formats: list[str],
        model: 'TrainedModel',
        source: Source,
        draw: bool = True,
        top: int = 5,
        overwrite: bool = False,
    ):
        self._annotations = [one for one in dict.fromkeys(formats) if one in ANNOTATION_FORMATS]
        asked = f'--save {" ".join(self._annotations)}'
        if model.task != 'detection' and self._annotations:
            raise UserError(f'{asked}: {model.description["name"]} is a classifier and has no boxes.')
        if source.video is not None and self._annotations:
            raise UserError(
                f'{asked}: annotations belong to image files, and the source is a video. Extract the frames '
                'to annotate (ffmpeg -i clip.mp4 -r 1 frames/%05d.jpg), and predict on their folder.'
            )
        _prepare(folder, overwrite)
        self.folder, self.formats, self.model, self.source = folder, formats, model, source
        self.top, self.draws = top, draw
        self.written: list[Path] = []
        self._writers: list = []
        self._names: dict[str, int] = {}
        if draw and (names := unwritable_names(model.classes)):
            say(
                f'warning: no installed font has the letters of {shortlist(names, 3)}: drawn as class '
                'numbers (#0 is the first). Install a font that has them, such as Noto Sans CJK.'
            )

    def __enter__(self) -> 'Results':
        pictures = self.folder / 'images' if self.draws and self.source.video is None else None
        try:
            if self._annotations:
                self._writers.append(
                    AnnotationFiles(self.folder, self._annotations, tuple(self.model.classes))
                )
            if pictures is not None:
                self._writers.append(_Pictures(pictures, self.top))
            elif self.draws:
                self._writers.append(_Video(self.folder / 'predictions.mp4', self.source.video[0], self.top))
            for name, kind in (('json', _Json), ('csv', _Csv)):
                path = self.folder / f'predictions.{name}'
                if name in self.formats:
                    with _naming(path):
                        self._writers.append(kind(path, self.model, self.top, pictures))
        except UserError as error:
            self.__exit__(UserError, error, None)
            raise
        return self

    def add(self, one: Detections | Classification) -> None:
        """Write one prediction.

        Raises:
            UserError: a file cannot be written; it is named.
        """
        name = self._name(one.source)
        for writer in self._writers:
            with _naming(writer.path):
                writer.add(one, name)

    def _name(self, source: str) -> str:
        """Return a name for what is written about an image: ``x``, or ``x_2`` where there was an x before."""
        stem = Path(source).stem or 'image'
        if self.source.video is not None:
            return stem
        name, number = stem, self._names.get(stem.lower(), 1)
        while name.lower() in self._names:  # in lower case, for disks that do not distinguish
            number += 1
            name = f'{stem}_{number}'
        self._names[stem.lower()] = number
        self._names.setdefault(name.lower(), 1)
        return name

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        failed = None
        for writer in self._writers:
            try:
                with _naming(writer.path):
                    writer.close(complete=kind is None)
            except UserError as fault:
                failed = failed or fault
            self.written += writer.written
        if failed is not None and kind is None:
            raise failed


def _prepare(folder: Path, overwrite: bool) -> None:
    """Make the folder of the results."""
    if folder.is_file():
        raise UserError(f'{folder} is a file; --out is the folder of the results.')
    try:
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise UserError(
                f'The folder {folder} is not empty. Choose another --out, or allow it with --overwrite.'
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f'{folder} cannot be written: {error.strerror}. Choose another --out.') from error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn an error of the system, which rarely says of which file, into one that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f'{error.filename2 or error.filename or path} could not be written: {error.strerror or error}. '
            'Make room or choose another --out; what was written before is there.'
        ) from error


class _Json:
    """``{"model": ..., "classes": [...], "images": [...], "complete": true}``, one line per image."""

    def __init__(self, path: Path, model: 'TrainedModel', top: int, pictures: Path | None):
        self.path, self.written = path, [path]
        self._top, self._pictures, self._separator = top, pictures, '\n'
        self._file = path.open('w', encoding='utf-8')
        head = dict(model=model.description['name'], classes=list(model.classes))
        self._file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "images": [')

    def add(self, one: Detections | Classification, name: str) -> None:
        content = one.to_dict(self._top) if isinstance(one, Classification) else one.to_dict()
        if self._pictures is not None:
            content['drawn'] = f'{self._pictures.name}/{name}.jpg'
        # In one piece: an interruption comes before or after it.
        self._file.write(self._separator + json.dumps(content, ensure_ascii=False))
        self._separator = ',\n'

    def close(self, complete: bool) -> None:
        with self._file:
            self._file.write(f'\n], "complete": {json.dumps(complete)}}}\n')


class _Csv:
    """One row per object, or per class of the best ones."""

    def __init__(self, path: Path, model: 'TrainedModel', top: int, pictures: Path | None):
        self.path, self.written, self._top = path, [path], top
        self._file = path.open('w', newline='', encoding='utf-8')
        self._rows = csv.writer(self._file)
        detects = model.task == 'detection'
        columns = (
            ('label', 'score', 'xmin', 'ymin', 'xmax', 'ymax') if detects else ('rank', 'label', 'score')
        )
        self._rows.writerow(('source', *columns))

    def add(self, one: Detections | Classification, name: str) -> None:
        if isinstance(one, Classification):
            rows = [
                (rank, label, f'{score:.6f}') for rank, (label, score) in enumerate(one.top(self._top), 1)
            ]
        else:
            found = zip(one.names, one.scores, one.boxes, strict=True)
            rows = [(label, f'{score:.6f}', *(f'{v:.2f}' for v in box)) for label, score, box in found]
        self._rows.writerows((one.source, *row) for row in rows)

    def close(self, complete: bool) -> None:
        self._file.close()


class _Pictures:
    """A folder of the drawn images, as JPEG."""

    def __init__(self, path: Path, top: int):
        self.path, self.written, self._top = path, [], top

    def add(self, one: Detections | Classification, name: str) -> None:
        source = Path(one.source)
        if source.is_file() and self.path.resolve() in source.resolve().parents:
            raise UserError(
                f'{source}: the drawn images are written to {self.path}, and would replace those that are '
                'predicted on. Choose another --out.'
            )
        # Encoded in memory: Pillow does not pass on why a file could not be written.
        encoded = io.BytesIO()
        Image.fromarray(draw_prediction(one, self._top)).save(encoded, 'JPEG', **_QUALITY)
        self.path.mkdir(exist_ok=True)
        self.written = [self.path]
        file = self.path / f'{name}.jpg'
        with _naming(file):
            file.write_bytes(encoded.getvalue())

    def close(self, complete: bool) -> None:
        """Every file is closed."""


class _Video:
    """The drawn frames as MPEG-4, which cannot have an odd width or height: the last pixel is left out."""

    def __init__(self, path: Path, rate: float, top: int):
        self.path, self.written, self._rate, self._top = path, [], rate, top
        self._writer: cv2.VideoWriter | None = None
        self._count = 0

    def add(self, one: Detections | Classification, name: str) -> None:
        frame = draw_prediction(one, self._top)
        if self._writer is None:
            self._open(one, frame.shape[1], frame.shape[0])
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))
        self._count += 1

    def _open(self, one: Detections | Classification, width: int, height: int) -> None:
        if self.path.exists() and one.source.startswith(f'{self.path.name} '):
            raise UserError(
                f'{self.path} would be written while it may be the video that is predicted on. Choose '
                'another --out.'
            )
        self._writer = cv2.VideoWriter(
            str(self.path), cv2.VideoWriter_fourcc(*'mp4v'), self._rate, (width, height)
        )
        if not self._writer.isOpened():
            raise UserError(
                f'{self.path} cannot be written as a video of {width} x {height}. Use --no-draw, or choose '
                'another --out.'
            )

    def close(self, complete: bool) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if not self.path.is_file():
            return
        self.written = [self.path]
        # OpenCV says nothing about frames that it could not write.
        video = cv2.VideoCapture(str(self.path))
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if count < self._count:
            raise UserError(
                f'{self.path} could not be written: it has {count} of {self._count} frames. Is the disk '
                'full? Make room or choose another --out.'
            )
