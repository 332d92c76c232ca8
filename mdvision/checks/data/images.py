"""Check images and labels of built data sets that do not check themselves."""

from collections.abc import Iterator
from pathlib import Path

from mdvision.datasets.image_check import CHECKS, SizeError, check_images, loader_turns, settle_size
from mdvision.datasets.voc_report import SplitReport
from mdvision.datasets.wrappers import unwrapped
from mdvision.errors import UserError
from mdvision.findings import Finding

__all__ = ['MOST_IMAGES', 'check_built_images', 'image_paths']

MOST_IMAGES = 200_000  # that are opened by default


def check_built_images(dataset: object, split: str, check: str | None = None) -> list[Finding]:
    """Find what is wrong with the images, labels and sizes of a data set and of those it wraps.

    mdvision's data sets have checked their images when they were built.

    Args:
        dataset: a built data set; one that provides no image infos is skipped.
        split: for the messages.
        check: ``check_images`` of the config; None decodes, but opens nothing of more than ``MOST_IMAGES``.
    """
    if check not in (None, *CHECKS):
        raise UserError(f'check_images: expected one of {CHECKS}, got {check!r}.')
    findings = []
    for part in unwrapped(dataset):
        if hasattr(part, 'check_images') or hasattr(part, 'check') or not _has_files(part):
            continue
        findings += _check(part, f'{type(part).__name__} ({split})', check)
    return findings


def image_paths(dataset: object) -> list[str]:
    """Return the image files of a data set and of those it wraps; [] for data without files."""
    paths = []
    for part in unwrapped(dataset):
        if _has_files(part):
            paths += [part.get_data_info(index).get('img_path') for index in range(len(part))]
    return [path for path in paths if isinstance(path, str)]


def _has_files(dataset: object) -> bool:
    """Return whether its first entry is an image file: MNIST and CIFAR have none."""
    info = dataset.get_data_info(0) if hasattr(dataset, 'get_data_info') and len(dataset) else {}
    return isinstance(info.get('img_path'), str)


def _check(dataset: object, where: str, check: str | None) -> Iterator[Finding]:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    infos = [info for info in infos if isinstance(info.get('img_path'), str)]
    root = str(getattr(dataset, 'data_root', '') or '')
    report = SplitReport(where, root or str(Path.cwd()), 'image')
    report.num_images = len(infos)
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    for info in infos:
        wrong = _wrong_labels(info, len(classes)) if classes else []
        if wrong:
            report.fault('label', f'{info["img_path"]}: {wrong[0]}, of {len(classes)} classes')
    check = check or ('decode' if len(infos) <= MOST_IMAGES else 'none')
    if check == 'none' and infos:
        yield Finding(
            'note', where, f"{len(infos):,} image files are not opened (check_images='decode' does)"
        )
    else:
        turns = loader_turns(getattr(getattr(dataset, 'pipeline', None), 'transforms', ()))
        found = check_images([info['img_path'] for info in infos], check)
        for info, facts in zip(infos, found, strict=True):
            _compare(report, info, facts, turns)
    if report.fault_text():
        yield Finding('error', where, report.fault_text())
    if report.warning_text():
        yield Finding('warning', where, report.warning_text())


def _wrong_labels(info: dict, classes: int) -> list:
    given = info.get('gt_label', [])
    labels = list(given) if hasattr(given, '__iter__') else [given]
    labels += [instance.get('bbox_label', 0) for instance in info.get('instances') or []]
    return [label for label in labels if not (isinstance(label, str) or 0 <= int(label) < classes)]


def _compare(report: SplitReport, info: dict, facts, turns: bool) -> None:
    """Compare one image file with its annotation."""
    path = info['img_path']
    if facts.fault:
        report.fault('image', f'{path} {facts.fault}')
        return
    if facts.sixteen_bit:
        report.found('16 bit', path)
    if facts.complaint:
        report.found('damaged', f'{path} ({facts.complaint})')
    if info.get('width') and info.get('height'):
        try:
            _, repair = settle_size(facts, (info['width'], info['height']), [], turns, 'the annotation')
        except SizeError as error:
            report.fault(error.kind, f'{path}: {error}')
            return
        if repair == 'orientation' and info.get('instances'):
            report.found('orientation', path)
