"""Your own images in one folder per class, fully checked when the data set is built.

Used in a config as ``type='mdvision.ImageFolder'``. mmpretrain's ``CustomDataset`` takes any folder as a
class and numbers the classes of each split independently, so one extra folder silently shifts all labels.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from torch.utils.data import get_worker_info

from mdvision.console import say
from mdvision.errors import UserError
from mdvision.text import shortlist

from .class_folders import class_names, compare_classes, image_files, shared_files
from .image_check import check_images
from .image_extensions import FOLDER_EXTENSIONS
from .public_data import check_choice, check_root

__all__ = ['ImageFolder', 'check_splits']

CHECKS = {'full': 'decode', 'header': 'header', 'none': 'none'}


class ImageFolder(BaseDataset):
    """The images ``data_root/SPLIT/CLASS/*.jpg`` (also png, bmp, tif, webp, ppm, pgm) of one split.

    Names that begin with a dot are skipped; subfolders of a class are read too. Grayscale, palette, RGBA and
    CMYK images are read as color images without their alpha channel. Splits other than train are compared
    with it: images in both are a warning. An entry has ``img_path`` and ``gt_label``.

    Args:
        data_root: the folder of the splits.
        split: name of the split's folder.
        classes: class names in label order, by default the sorted folders of ``data_root/train``. Every split
            must have exactly these folders.
        check: ``'full'`` (OpenCV decodes every file), ``'header'`` (only the file structure) or ``'none'``.
        scale_16_bit: accept 16-bit images, which the loader scales to value // 256; otherwise they are an
            error.
        show_summary: print what was found.
        **kwargs: passed on to mmpretrain's ``BaseDataset``.

    Raises:
        UserError: the split cannot be used; all problems of a kind are in one message.
    """

    compares_with_train = True  # so that no other check reads the files again

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        classes: Sequence[str] | None = None,
        check: str = 'full',
        scale_16_bit: bool = False,
        show_summary: bool = True,
        test_mode: bool | None = None,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        check_choice('ImageFolder', 'check', check, tuple(CHECKS))
        if not isinstance(split, str) or not split:
            raise UserError(f"ImageFolder: expected split as the name of a folder, 'train', got {split!r}.")
        root = Path(check_root('ImageFolder', data_root))
        self.split = split
        self.check = check
        self.scale_16_bit = scale_16_bit
        self.show_summary = show_summary
        self._messages: list[str] = []
        self._warnings: list[str] = []
        self._classes_given = classes is not None or 'classes' in (metainfo or {})
        if classes is None:
            classes = (metainfo or {}).get('classes')
        check_splits(root, split, self._classes_given)
        super().__init__(
            ann_file='',
            data_root=str(root),
            data_prefix=split,
            metainfo={**(metainfo or {}), 'classes': _settle_classes(root, classes)},
            test_mode=split != 'train' if test_mode is None else test_mode,
            **kwargs,
        )

    def full_init(self) -> None:
        """Read and check the split, once, and print what was found on the main process."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.show_summary and is_main_process() and get_worker_info() is None:
            for message in self._messages:
                say(message)
            for message in self._warnings:
                print_log(message, logger='current', level=logging.WARNING)

    def load_data_list(self) -> list[dict]:
        """Return every image of the split with its label.

        Raises:
            UserError: the folders or files cannot be used.
        """
        folder = Path(self.data_root) / self.split
        classes = self.metainfo['classes']
        source = 'classes=' if self._classes_given else f'{self.data_root}/train'
        files, others = _find(folder, classes, source)
        paths = [f'{folder}/{path}' for path, _ in files]
        self._check_files(paths, f'{folder}/')
        counts = Counter(label for _, label in files)
        least = min(counts, key=lambda label: (counts[label], label))
        most = max(counts, key=lambda label: (counts[label], -label))
        self._messages = [
            f'image folder {folder}: {len(files)} images, {len(classes)} classes of {counts[least]} '
            f'({classes[least]}) to {counts[most]} ({classes[most]}) images'
        ]
        if others:
            self._messages.append(
                f'  skipped, not images by their extensions ({len(others)}): {shortlist(others, 5)}'
            )
        if self.split != 'train' and self.check != 'none':
            self._compare_with_train(folder, [Path(path) for path in paths])
        return [dict(img_path=path, gt_label=label) for path, (_, label) in zip(paths, files, strict=True)]

    def _check_files(self, paths: list[str], prefix: str) -> None:
        if self.check == 'none':
            return
        broken, deep, damaged = [], [], []
        for path, facts in zip(paths, check_images(paths, CHECKS[self.check]), strict=True):
            name = path.removeprefix(prefix)
            if facts.fault:
                broken.append(f'{name} {facts.fault}')
                continue
            if facts.sixteen_bit:
                deep.append(name)
            if facts.complaint:
                damaged.append(f'{name} ({facts.complaint})')
        if broken:
            lines = ''.join(f'\n    {line}' for line in broken[:20])
            more = f'\n    ... and {len(broken) - 20} more' if len(broken) > 20 else ''
            raise UserError(
                f'{len(broken)} broken images in {prefix}:{lines}{more}\n'
                '  fix: download or export these files again, or remove them.'
            )
        if deep and not self.scale_16_bit:
            raise UserError(
                f'{len(deep)} images of 16 bits in {prefix}: {shortlist(deep)}\n'
                '  fix: save them with 8 bits, scaled to the range of your data; or set scale_16_bit=True '
                'in the data set: every value is then divided by 256, which makes 12-bit data nearly black.'
            )
        if deep:
            self._warnings.append(
                f'{prefix}: {len(deep)} images of 16 bits, read as value // 256: {shortlist(deep, 5)}'
            )
        if damaged:
            self._warnings.append(
                f'{prefix}: {len(damaged)} damaged images that OpenCV still reads, perhaps with '
                f'wrong pixels: {shortlist(damaged, 5)}'
            )

    def _compare_with_train(self, folder: Path, paths: list[Path]) -> None:
        train = Path(self.data_root) / 'train'
        if not train.is_dir():
            return
        both = shared_files([train / path for path in image_files(train)[0]], paths)
        if both:
            pairs = shortlist((f'{path} = {twin}' for twin, path in both), 5)
            self._warnings.append(
                f'{len(both)} of {len(paths)} images of {folder} are in {train} too, so the '
                f'accuracy is too high: {pairs}. Remove them from one of the two.'
            )

    def extra_repr(self) -> list[str]:
        """Return mdvision's lines of ``repr``."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']


def check_splits(root: Path, split: str, classes_given: bool) -> None:
    """Check that the folder of the split, and that of train where needed, exist.

    Raises:
        UserError: a folder is missing; the message shows the layout.
    """
    for part in dict.fromkeys((split, 'train')):
        if (root / part).is_dir() or (part == 'train' != split and classes_given):
            continue
        there = f' It contains {shortlist(class_names(root)) or "no folders"}.' if root.is_dir() else ''
        why = ' (it defines the order of the classes; or set classes=[...])' if part != split else ''
        raise UserError(
            f'ImageFolder: there is no folder {root / part}{why} (from {Path.cwd()}).{there}\n'
            f'  layout: {root}/train/CLASS/*.jpg, {root}/val/CLASS/*.jpg, perhaps {root}/test/CLASS/*.jpg, '
            'with the same folders CLASS in each\n'
            '  data elsewhere: --cfg-options data_root=FOLDER'
        )


def _settle_classes(root: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is not None:
        wrong = isinstance(classes, str) or not all(isinstance(name, str) and name for name in classes)
        if wrong or len(set(classes)) != len(classes):
            raise UserError(
                f"ImageFolder: expected classes as a list of different names, ['cat', 'dog'], got "
                f'{classes!r}.'
            )
    else:
        classes = class_names(root / 'train')
    if len(classes) < 2:
        raise UserError(
            f'ImageFolder: expected one folder per class, for at least two classes, in {root / "train"}, '
            'found '
            f'{shortlist(map(repr, classes)) or "none"}.\n  layout: {root}/train/CLASS/*.jpg'
        )
    return tuple(classes)


def _find(folder: Path, classes: Sequence[str], source: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Return the (relative path, label) of every image, and the other files.

    Raises:
        UserError: the class folders differ from ``classes``, or a class has no images.
    """
    found = class_names(folder)
    faults = compare_classes(classes, found, str(folder), source)
    stray = [
        entry.name
        for entry in sorted(folder.iterdir())
        if entry.name.lower().endswith(FOLDER_EXTENSIONS)
        and not entry.name.startswith('.')
        and entry.is_file()
    ]
    if stray:
        faults.append(f'{folder}: images outside the class folders: {shortlist(stray)}')
    files, others = [], []
    for label, name in enumerate(classes):
        if name in found:
            images, rest = image_files(folder / name, f'{name}/')
            files += [(path, label) for path in images]
            others += rest
            if not images:
                faults.append(f'{folder / name}: no image ({", ".join(FOLDER_EXTENSIONS)})')
    if faults:
        lines = ''.join(f'\n  {fault}' for fault in faults)
        raise UserError(
            f'The class folders of {folder} cannot be used:{lines}\n  fix: every split needs the same class '
            'folders, and an image in each; remove or rename what is not a class.'
        )
    return files, others
