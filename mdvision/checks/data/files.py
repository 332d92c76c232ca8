"""Check upstream data sets before they are built: their readers drop data, shift labels or crash."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from mdvision.config.tree import SPLITS, DatasetConfig, config_datasets
from mdvision.datasets.class_folders import (
    class_names,
    compare_classes,
    image_files,
    read_pairs,
)
from mdvision.datasets.coco_check import check_coco_file
from mdvision.datasets.image_extensions import FOLDER_EXTENSIONS
from mdvision.datasets.voc_reader import VOCReader
from mdvision.datasets.voc_report import SplitReport
from mdvision.errors import UserError, did_you_mean
from mdvision.findings import Finding
from mdvision.text import shortlist

__all__ = ['check_data_files']

# Repairs that mmdet's reader of VOC files makes too, or problems it ignores.
_HARMLESS_FOR_MMDET = ('clipped', 'difficult missing', 'filename')


def check_data_files(cfg: Config, splits: tuple[str, ...] = SPLITS) -> list[Finding]:
    """Find what is wrong with the files of upstream data sets in a config.

    These are ``CocoDataset``, ``XMLDataset`` and ``CustomDataset`` and all classes derived from them, and
    mmpretrain's ``VOC``. mdvision's data sets check themselves when they are built.
    """
    checks = [
        (_host_class('mmdet.datasets', 'CocoDataset'), _check_coco),
        (_host_class('mmdet.datasets', 'XMLDataset'), _check_voc),
        (_host_class('mmpretrain.datasets', 'VOC'), _check_voc),
        (_host_class('mmpretrain.datasets', 'CustomDataset'), _check_custom),
    ]
    findings, seen = [], []
    for part in config_datasets(cfg, splits):
        if part.kind is None or part.kind.__module__.startswith('mdvision.'):
            continue
        if any(part.kind is other.kind and part.settings == other.settings for other in seen):
            continue  # the test set is usually the validation set
        seen.append(part)
        for host, check in checks:
            if host is not None and issubclass(part.kind, host) and _is_local(part):
                findings += check(part)
    return [*findings, *_same_folders(seen)]


def _host_class(module: str, name: str) -> type | None:
    """Return an upstream class if it has been imported: before, none of its data sets can exist."""
    return getattr(sys.modules.get(module), name, None)


def _is_local(part: DatasetConfig) -> bool:
    return (part.settings.get('backend_args') or {}).get('backend', 'local') == 'local'


def _where(part: DatasetConfig) -> str:
    return f'{part.kind.__name__} ({part.split})'


def _path(part: DatasetConfig, name: str) -> Path:
    return Path(part.settings.get('data_root') or '').expanduser() / Path(name).expanduser()


def _missing(paths: list[Path], part: DatasetConfig) -> Finding | None:
    """Return a finding that says which of the paths are missing and what exists instead."""
    gone = [path for path in paths if not path.exists()]
    if not gone:
        return None
    cocos_own = re.compile(r'instances_(train|val)20\d\d\.json|(train|val)20\d\d')
    lines = []
    for path in gone:
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        listed = f'; in {path.parent} there are {shortlist(there, 8)}.' if there else f' (from {Path.cwd()}).'
        lines.append(f'there is no {path}{listed}{did_you_mean(path.name, there)}')
    fix = 'correct ann_file, data_prefix or data_root (--cfg-options data_root=FOLDER sets it everywhere)'
    if any(cocos_own.fullmatch(path.name) for path in gone):
        root = part.settings.get('data_root') or ''
        fix = (
            'get it from https://cocodataset.org, 2017 train and val images and annotations; mdvision '
            f'downloads no data\n  layout: {root}/annotations/instances_train2017.json, '
            f'{root}/train2017/*.jpg, and val2017 likewise\n  data elsewhere: --cfg-options data_root=FOLDER'
        )
    return Finding('error', _where(part), '\n    '.join(lines), fix)


def _check_coco(part: DatasetConfig) -> Iterator[Finding]:
    if part.kind.COCOAPI is not _host_class('mmdet.datasets', 'CocoDataset').COCOAPI:
        return  # panoptic files have another layout
    prefix = part.settings.get('data_prefix') or {}
    images = prefix.get('img') or prefix.get('img_path') or '' if isinstance(prefix, dict) else prefix
    file = _path(part, part.settings.get('ann_file') or '')
    missing = _missing([file, _path(part, images)], part)
    if missing:
        yield missing
        return
    lvis = _host_class('mmdet.datasets', 'LVISV05Dataset')  # numbers all categories of the file
    whole = lvis is not None and issubclass(part.kind, lvis)
    report = check_coco_file(file, part.classes or [], whole, part.split == 'train')
    yield from _as_findings(report, _where(part))


def _as_findings(report: SplitReport, where: str) -> Iterator[Finding]:
    if report.fault_text():
        yield Finding('error', where, report.fault_text())
        return
    yield Finding('note', where, report.summary())
    if report.warning_text():
        yield Finding('warning', where, report.warning_text())


def _check_voc(part: DatasetConfig) -> Iterator[Finding]:
    """Run mdvision's reader on mmdet's or mmpretrain's files; their readers do not repair what it repairs."""
    settings, prefix = part.settings, part.settings.get('data_prefix') or {}
    prefix = prefix if isinstance(prefix, dict) else dict(img_path=prefix)
    if 'sub_data_root' in prefix or settings.get('ann_file'):
        root, split = (
            _path(part, prefix.get('sub_data_root', '')),
            _path(part, settings.get('ann_file') or ''),
        )
        folders = (settings.get('img_subdir', 'JPEGImages'), settings.get('ann_subdir', 'Annotations'))
    elif 'split' in settings or ('data_root' in settings and 'img' not in prefix):
        root = _path(part, '')
        listed = settings.get('image_set_path') or f'ImageSets/Main/{settings.get("split", "trainval")}.txt'
        split, folders = (
            root / listed,
            (prefix.get('img_path', 'JPEGImages'), prefix.get('ann_path', 'Annotations')),
        )
    else:
        return  # another layout: WIDER FACE
    reader = VOCReader(root, split, tuple(part.classes or ()), *folders, box_base=1, check_images='none',
                       need_objects=part.split == 'train')  # fmt: skip
    try:
        reader.read()
    except UserError as error:
        yield Finding('error', _where(part), str(error))
        return
    odd = [kind for kind in reader.report.kinds_repaired() if kind not in _HARMLESS_FOR_MMDET]
    if odd:
        yield Finding(
            'error', _where(part), f'this reader repairs none of the following.\n{reader.report.summary()}',
            "correct the files, or read them with type='mdvision.VOCDataset', which does",
        )  # fmt: skip
        return
    yield from _as_findings(reader.report, _where(part))


def _check_custom(part: DatasetConfig) -> Iterator[Finding]:
    """Check mmpretrain's CustomDataset and ImageNet: a file of labels, or one folder per class."""
    settings = part.settings
    if not settings.get('with_label', True):
        return
    if settings.get('ann_file'):
        file = _path(part, settings['ann_file'])
        missing = _missing([file], part)
        if missing:
            yield missing
            return
        try:
            count = len(part.classes) if part.classes else None
            pairs = read_pairs(file, count, blank_lines=False)
        except UserError as error:
            yield Finding('error', _where(part), str(error))
            return
        prefix = _path(part, _image_prefix(part))
        gone = [name for name, _ in pairs if not (prefix / name).is_file()]
        if gone:
            text = (
                f'{len(gone)} of {len(pairs)} images that {file} lists are not in {prefix}: '
                f'{shortlist(gone, 10)}'
            )
            yield Finding('error', _where(part), text, 'add them, or remove their lines')
    elif part.kind is _host_class('mmpretrain.datasets', 'CustomDataset'):
        yield from _check_folders(part)


def _image_prefix(part: DatasetConfig) -> str:
    prefix = part.settings.get('data_prefix') or ''
    return prefix if isinstance(prefix, str) else prefix.get('img_path', '')


def _check_folders(part: DatasetConfig) -> Iterator[Finding]:
    folder = _path(part, _image_prefix(part))
    missing = _missing([folder], part)
    if missing:
        yield missing
        return
    found = class_names(folder)
    hidden = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name.startswith('.'))
    if hidden:
        yield Finding('error', str(folder), f'{shortlist(hidden)} would become a class', 'remove it')
    endings = tuple(one.lower() for one in _extensions(part))
    empty = [n for n in found if not any(f.lower().endswith(endings) for f in image_files(folder / n)[0])]
    if empty:
        yield Finding(
            'error', str(folder), f'class folders without an image: {shortlist(empty)}', 'remove or fill them'
        )
    if part.classes and list(part.classes) != found:
        lines = compare_classes(part.classes, found, str(folder), 'classes=')
        ours, theirs = shortlist(part.classes, 8), shortlist(found, 8)
        order = f'the folders are numbered in sorted order, {theirs}; classes= is {ours}'
        yield Finding(
            'error', str(folder), '\n  '.join(lines or [order]), 'set classes= to the sorted folders'
        )


def _extensions(part: DatasetConfig) -> Sequence[str]:
    """Return the extensions of the files that a data set takes for images."""
    if 'extensions' in part.settings:
        return part.settings['extensions']
    argument = inspect.signature(part.kind.__init__).parameters.get('extensions') if part.kind else None
    return FOLDER_EXTENSIONS if argument is None else argument.default


def _same_folders(parts: list[DatasetConfig]) -> Iterator[Finding]:
    """Compare the splits' folders: each split is numbered on its own, so an extra folder shifts labels."""
    custom = _host_class('mmpretrain.datasets', 'CustomDataset')
    folders = [
        (part, _path(part, _image_prefix(part)))
        for part in parts
        if custom is not None and issubclass(part.kind, custom) and not part.settings.get('ann_file')
        and part.settings.get('with_label', True)
    ]  # fmt: skip
    train = [(part, folder) for part, folder in folders if part.split == 'train' and folder.is_dir()]
    for part, folder in folders:
        if part.split == 'train' or not folder.is_dir() or not train:
            continue
        expected, found = class_names(train[0][1]), class_names(folder)
        lines = compare_classes(expected, found, str(folder), str(train[0][1]))
        if lines:
            yield Finding(
                'error', _where(part), '\n  '.join(lines),
                'every split needs the same class folders: labels are their positions in sorted order',
            )  # fmt: skip
