"""Images to predict on: from files, folders, patterns, videos, cameras, and from memory."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from mdvision.datasets.image_check import check_image
from mdvision.datasets.image_extensions import FOLDER_EXTENSIONS
from mdvision.errors import UserError
from mdvision.text import shortlist

from .predictions import Unreadable

__all__ = ['VIDEO_SUFFIXES', 'Source', 'open_source', 'pixels_of']

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.mjpeg')


@dataclass(frozen=True)
class Frame:
    """One image: a file that is not read yet, or pixels.

    Attributes:
        name: for messages and results.
        path: the file, or None.
        pixels: (H, W, 3) uint8 BGR, as OpenCV has them, or None.
    """

    name: str
    path: Path | None = None
    pixels: np.ndarray | None = None


class Source:
    """The images of a source, one after the other; at most one of a video is in memory.

    Attributes:
        total: how many there are; None where that is unknown, as for a camera.
        video: ``(frames per second, width, height)`` of a video or camera; None otherwise.
    """

    def __init__(self, frames: Iterable[Frame | Unreadable], total: int | None, video: tuple | None = None):
        self._frames = frames
        self.total = total
        self.video = video

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        return iter(self._frames)


def open_source(source: object, color: str = 'rgb') -> Source:
    """Open what a user gives.

    Args:
        source: an image or video file; a folder, whose image files are taken in the order of their names,
            those of its subfolders included; a pattern such as ``'shots/*.jpg'``; the index of a camera; an
            array or PIL image; or a list of files, arrays and images.
        color: the channel order of arrays, ``'rgb'`` or ``'bgr'`` (OpenCV's).

    Raises:
        UserError: there is no such file, folder, camera or array, or a folder or pattern without images.
    """
    if color not in ('rgb', 'bgr'):
        raise UserError(f"color: expected 'rgb' or 'bgr', the channel order of arrays, got {color!r}.")
    if isinstance(source, bool):
        raise UserError('Expected a file, folder, pattern, camera index, array or image, got a bool.')
    if isinstance(source, int):
        return _camera(source)
    if isinstance(source, str) and source.isdigit() and not Path(source).exists():
        return _camera(int(source))
    if isinstance(source, str | Path):
        return _from_path(str(source))
    if isinstance(source, list | tuple):
        if not source:
            raise UserError('Expected images to predict on, got an empty list.')
        return Source([_item(one, index, color) for index, one in enumerate(source)], len(source))
    return Source([_item(source, 0, color)], 1)


def _item(one: object, index: int, color: str) -> Frame | Unreadable:
    if isinstance(one, str | Path):
        return Frame(str(one), path=Path(one))
    try:
        return Frame(f'array {index}', pixels=pixels_of(one, color))
    except UserError as error:
        return Unreadable(f'array {index}', str(error))


def pixels_of(image: object, color: str = 'rgb') -> np.ndarray:
    """Return (H, W, 3) uint8 BGR of an array or PIL image.

    Args:
        image: a PIL image, rotated as its EXIF tag says, with transparency dropped as in files; or an array
            of uint8, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        color: the channel order of an array.

    Raises:
        UserError: it is something else.
    """
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise UserError(f'the image has no pixels: {image.size[0]} x {image.size[1]}')
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1]
    if not isinstance(image, np.ndarray):
        raise UserError(f'expected an array (H, W, 3) of uint8 or a PIL image, got {type(image).__name__}')
    shape = image.shape
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in shape:
        raise UserError(f'expected an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {shape}')
    if image.dtype != np.uint8:
        raise UserError(
            f'expected pixels of uint8, from 0 to 255, got {image.dtype} (from {image.min()} to '
            f'{image.max()})'
        )
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    pixels = image[..., :3]
    return pixels if color == 'bgr' else pixels[..., ::-1]


def _from_path(text: str) -> Source:
    path = Path(text)
    if path.is_dir():
        files = sorted(one for one in path.rglob('*') if one.suffix.lower() in FOLDER_EXTENSIONS)
        if not files:
            there = [one.name for one in sorted(path.iterdir())]
            found = f'it has {shortlist(there, 5)}' if there else 'it is empty'
            raise UserError(
                f'{path} has no image files ({", ".join(FOLDER_EXTENSIONS)}), in no subfolder either; '
                f'{found}.'
            )
        return _of_files(files)
    if path.is_file():
        return _video(path) if path.suffix.lower() in VIDEO_SUFFIXES else _of_files([path])
    if glob.has_magic(text):
        files = sorted(Path(one) for one in glob.glob(text, recursive=True) if Path(one).is_file())
        if not files:
            raise UserError(f'No file matches {text!r}.')
        return _of_files(files)
    raise UserError(f'There is no file or folder {text}.')


def _of_files(files: list[Path]) -> Source:
    return Source([Frame(str(file), path=file) for file in files], len(files))


def read_file(path: Path) -> str:
    """Return why a file cannot be used, or ``''``: OpenCV decodes half of a damaged JPEG without a word."""
    if not path.is_file():
        return 'there is no such file'
    return check_image(str(path), 'header').fault


def _video(path: Path) -> Source:
    capture = _capture(str(path))
    if not capture.isOpened():
        raise UserError(
            f'{path} cannot be read as a video ({path.stat().st_size:,} bytes): OpenCV does not open it.'
        )
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    total = total if total > 0 else None
    return Source(_frames(capture, path.name, total), total, _video_facts(capture))


def _camera(index: int) -> Source:
    capture = _capture(index)
    if not capture.isOpened():
        raise UserError(
            f'Camera {index} cannot be opened. Is one connected, is it in use by another program, and may '
            'this program use it?'
        )
    return Source(_frames(capture, f'camera {index}', None), None, _video_facts(capture))


def _capture(what: str | int) -> cv2.VideoCapture:
    """Open a video or camera without OpenCV's own messages: ours says what is wrong."""
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        return cv2.VideoCapture(what)
    finally:
        cv2.setLogLevel(level)


def _video_facts(capture: cv2.VideoCapture) -> tuple[float, int, int]:
    rate = capture.get(cv2.CAP_PROP_FPS)
    size = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    return (rate if 0 < rate < 1000 else 25.0, *size)


def _frames(capture: cv2.VideoCapture, name: str, total: int | None) -> Iterator[Frame | Unreadable]:
    """Yield the frames of a video; at the end say if it has fewer than it announces."""
    number = 0
    try:
        while True:
            ok, pixels = capture.read()
            if not ok:
                break
            yield Frame(f'{name} frame {number}', pixels=pixels)
            number += 1
    finally:
        capture.release()
    # Containers round the number by a frame or two.
    if total is None and not number:
        yield Unreadable(name, 'no frame could be read')
    elif total is not None and number < total - max(2, total // 100):
        yield Unreadable(
            f'{name} frame {number}',
            f'the video ends here, of {total} frames: it was cut short or is damaged',
        )
