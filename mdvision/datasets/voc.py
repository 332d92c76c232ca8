"""A strict PASCAL VOC data set: bad data is an error with file, reason and fix before training.

Used in a config as ``type='mdvision.VOCDataset'``. It has no bare name: mmdet's own ``VOCDataset`` silently
drops objects of unknown classes and fails in the middle of an epoch at a broken image.

Boxes are returned as continuous coordinates with x1 <= x < x2. VOC files hold 1-based inclusive pixel
indices: the left and top edge move by one, the right and bottom edge stay. The plain overlap of two such
boxes equals the devkit's, which adds 1 to each side of its inclusive boxes.
"""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import mmcv
from mmdet.datasets import BaseDetDataset
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from mdvision.console import say
from mdvision.errors import UserError, did_you_mean
from mdvision.text import shortlist

from .image_check import CHECKS, loader_turns
from .voc_reader import VOCReader
from .voc_report import SplitReport

__all__ = ['VOCDataset']

FILTERS = ('filter_empty_gt', 'min_size', 'bbox_min_size')


class VOCDataset(BaseDetDataset):
    """Images and boxes of one VOC split, fully checked when the data set is built.

    Entries have mmdet's form: ``img_path, img_id, xml_path, height, width, instances``; an instance has
    ``bbox`` [x1, y1, x2, y2] in pixels, ``bbox_label``, ``ignore_flag``, ``difficult``, ``truncated``,
    ``occluded``. Repairs are printed in a summary.

    Args:
        data_root: the folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        ann_file: the split file, relative to ``data_root``.
        metainfo: ``dict(classes=(...))``, required.
        img_subdir: name of the image folder.
        ann_subdir: name of the annotation folder.
        box_base: how the files count pixels: from 1 (the standard), from 0, or ``'auto'``: 0 if a box of the
            split begins at 0, otherwise 1.
        ignore_classes: class names whose objects are left out; any other unknown name is an error.
        filter_cfg: mmdet's ``filter_empty_gt``, ``min_size`` (image side, pixels) and ``bbox_min_size``, for
            training only.
        check_images: ``'decode'`` (OpenCV decodes every file), ``'header'`` (only the file structure) or
            ``'none'``.
        show_summary: print the summary.
        data_prefix: mmdet's ``sub_data_root``.
        **kwargs: passed on to mmdet's ``BaseDetDataset``.

    Raises:
        UserError: the split cannot be used; one message has all its problems.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        metainfo: Mapping | None = None,
        img_subdir: str = 'JPEGImages',
        ann_subdir: str = 'Annotations',
        box_base: int | str = 'auto',
        ignore_classes: Sequence[str] = (),
        filter_cfg: dict | None = None,
        check_images: str = 'decode',
        show_summary: bool = True,
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        classes = _class_names(metainfo)
        self.ignore_classes = (ignore_classes,) if isinstance(ignore_classes, str) else tuple(ignore_classes)
        both = sorted(set(self.ignore_classes) & set(classes))
        if both:
            raise UserError(
                f'VOCDataset: {both} is in both classes and ignore_classes. Keep it in one of them.'
            )
        if isinstance(box_base, bool) or box_base not in ('auto', 0, 1):
            raise UserError(f"VOCDataset: expected box_base 'auto', 0 or 1, got {box_base!r}.")
        if check_images not in CHECKS:
            raise UserError(f'VOCDataset: expected check_images one of {CHECKS}, got {check_images!r}.')
        for key in filter_cfg or {}:
            if key not in FILTERS:
                hint = did_you_mean(key, FILTERS)
                raise UserError(f'VOCDataset: filter_cfg takes {FILTERS}, got {key!r}.{hint}')
        if data_prefix and set(data_prefix) != {'sub_data_root'}:
            raise UserError(
                f"VOCDataset: data_prefix takes only 'sub_data_root', got {sorted(data_prefix)}. The "
                'names of the folders are img_subdir and ann_subdir.'
            )
        if (kwargs.get('backend_args') or {}).get('backend', 'local') != 'local':
            raise UserError(
                'VOCDataset reads local files; got backend_args for another storage. Copy the data to a '
                'local disk.'
            )
        self.img_subdir = img_subdir
        self.ann_subdir = ann_subdir
        self.box_base = box_base
        self.check_images = check_images
        self.show_summary = show_summary
        self._report: SplitReport | None = None  # set only while full_init runs
        super().__init__(
            ann_file=os.fspath(ann_file),
            metainfo={**metainfo, 'classes': classes},
            data_root=os.fspath(data_root),
            data_prefix=dict(data_prefix or {'sub_data_root': ''}),
            filter_cfg=filter_cfg,
            **kwargs,
        )

    def full_init(self) -> None:
        """Read and check the split, once, and print its summary on the main process."""
        if self._fully_initialized:
            return
        super().full_init()
        report, self._report = self._report, None
        if self._indices is not None:
            report.extra.append(f'used by indices: {len(self)} images')
        if self.show_summary and is_main_process() and get_worker_info() is None:
            say(report.summary())
            if report.warning_text():
                print_log(report.warning_text(), logger='current', level=logging.WARNING)

    def load_data_list(self) -> list[dict]:
        """Return every image of the split as mmdet's dict.

        Raises:
            UserError: one message with all problems found.
        """
        reader = VOCReader(
            root=Path(self.data_prefix['sub_data_root'] or '.'),
            split_file=Path(self.ann_file),
            classes=self._metainfo['classes'],
            img_subdir=self.img_subdir,
            ann_subdir=self.ann_subdir,
            box_base=self.box_base,
            ignore_classes=self.ignore_classes,
            check_images=self.check_images,
            loader_turns=loader_turns(self.pipeline.transforms),
            min_box_side=0 if self.test_mode else (self.filter_cfg or {}).get('bbox_min_size') or 0,
            need_objects=not self.test_mode,
        )
        self._report = reader.report
        data_list = reader.read()
        self._refuse_vanishing(data_list)
        return data_list

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg`` in training; the summary counts what it drops."""
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        kept, lines = self.data_list, []
        if self.filter_cfg.get('filter_empty_gt', False):
            before, kept = len(kept), [info for info in kept if info['instances']]
            lines.append(f'dropped by filter_empty_gt: {before - len(kept)} of {before} images')
        smallest = self.filter_cfg.get('min_size') or 0
        if smallest:
            before, kept = (
                len(kept),
                [info for info in kept if min(info['width'], info['height']) >= smallest],
            )
            lines.append(f'dropped by min_size={smallest}: {before - len(kept)} of {before} images')
        self._report.extra += lines
        if not kept:
            raise UserError(
                f'VOC split {self._report.split}: filter_cfg={dict(self.filter_cfg)} leaves no image '
                f'({"; ".join(lines)}). Relax the filter.'
            )
        return kept

    def _refuse_vanishing(self, data_list: list[dict]) -> None:
        """Refuse images with a side that Resize would round to 0 pixels: they would crash in mid-epoch."""
        for step in self.pipeline.transforms:
            if not getattr(step, 'keep_ratio', False) or not isinstance(getattr(step, 'scale', None), tuple):
                continue
            gone = [
                f'{info["img_path"]} ({info["width"]}x{info["height"]})'
                for info in data_list
                if min(mmcv.rescale_size((info['width'], info['height']), step.scale)) < 1
            ]
            if gone:
                raise UserError(
                    f'VOC split {self.ann_file}: {len(gone)} images are so elongated that '
                    f'{type(step).__name__} to {step.scale} reduces their short side to 0 pixels: '
                    f'{shortlist(gone, 10)}. Cut them into parts, remove their ids from '
                    'the split, or resize to a larger scale.'
                )


def _class_names(metainfo: Mapping | None) -> tuple[str, ...]:
    """Return the classes of ``metainfo`` as a tuple of names.

    Raises:
        UserError: they are missing or not valid names.
    """
    classes = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
    example = "for example metainfo=dict(classes=('cat', 'dog'))"
    if classes is None:
        raise UserError(
            f'VOCDataset: the class names are missing: set metainfo with classes, {example}; got '
            f'metainfo={metainfo!r}.'
        )
    if isinstance(classes, str):  # ('cat') is a str, not a tuple
        classes = (classes,)
    if not isinstance(classes, Sequence) or not classes:
        raise UserError(f'VOCDataset: expected at least one class name, {example}; got {classes!r}.')
    wrong = [name for name in classes if not isinstance(name, str) or not name or name != name.strip()]
    if wrong:
        raise UserError(
            f'VOCDataset: expected class names without spaces around them, {example}; got {wrong[0]!r}.'
        )
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise UserError(f'VOCDataset: classes holds {twice} more than once. Keep each of them once.')
    return tuple(classes)
