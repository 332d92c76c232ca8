"""Generate a small detection data set in true PASCAL VOC layout, so that the demo needs no download.

Textured backgrounds with clutter, and three classes of objects that differ in size, color, texture and
rotation; some overlap, some are cut off by the image border. Needs only numpy and OpenCV.

Image ``i`` of a split depends on ``(seed, split, i)`` and on the image size, so a larger set begins with the
images of a smaller one, and the same arguments give the same bytes.

    python -m mdvision.datasets.mini_voc data/mini_voc
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2

from mdvision.errors import UserError

from .mini_voc_draw import CLASSES, SPLITS, DrawnObject, draw_image

__all__ = ['CLASSES', 'ensure_mini_voc', 'make_mini_voc']

GENERATOR_VERSION = 1  # increase it whenever a change alters the generated files
STAMP = 'mini_voc.json'
_OUR_FILES = re.compile(
    r'JPEGImages/(train|val)_\d{6}\.jpg|Annotations/(train|val)_\d{6}\.xml|'
    r'ImageSets/Main/(train|val|trainval)\.txt|' + re.escape(STAMP)
)


def _xml(image_id: str, size: tuple[int, int], objects: list[DrawnObject]) -> str:
    lines = [
        '<annotation>',
        '\t<folder>mini_voc</folder>',
        f'\t<filename>{image_id}.jpg</filename>',
        '\t<source>\n\t\t<database>mdvision mini_voc</database>\n\t</source>',
        f'\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>',
        '\t<segmented>0</segmented>',
    ]
    for item in objects:
        corners = zip(('xmin', 'ymin', 'xmax', 'ymax'), item.box, strict=True)
        lines += [
            '\t<object>',
            f'\t\t<name>{item.name}</name>',
            '\t\t<pose>Unspecified</pose>',
            f'\t\t<truncated>{int(item.truncated)}</truncated>',
            f'\t\t<difficult>{int(item.difficult)}</difficult>',
            '\t\t<bndbox>',
            *(f'\t\t\t<{field}>{value}</{field}>' for field, value in corners),
            '\t\t</bndbox>',
            '\t</object>',
        ]
    return '\n'.join([*lines, '</annotation>', ''])


def _write_set(folder: Path, stamp: dict) -> None:
    """Generate every file of the set in the empty ``folder``; the stamp with the counts is written last."""
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (folder / name).mkdir(parents=True)
    size = tuple(stamp['size'])
    summary = {'objects': dict.fromkeys(CLASSES, 0), 'empty': 0, 'difficult': 0, 'truncated': 0}
    for split in SPLITS:
        for index in range(stamp[f'num_{split}']):
            image_id = f'{split}_{index:06d}'
            image, objects = draw_image(split, index, size, stamp['seed'])
            coded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            (folder / 'JPEGImages' / f'{image_id}.jpg').write_bytes(coded.tobytes())
            (folder / 'Annotations' / f'{image_id}.xml').write_text(_xml(image_id, size, objects), 'utf-8')
            summary['empty'] += not objects
            for item in objects:
                summary['objects'][item.name] += 1
                summary['difficult'] += item.difficult
                summary['truncated'] += item.truncated
    ids = {split: [f'{split}_{i:06d}' for i in range(stamp[f'num_{split}'])] for split in SPLITS}
    for name, lines in (*ids.items(), ('trainval', ids['train'] + ids['val'])):
        (folder / 'ImageSets' / 'Main' / f'{name}.txt').write_text('\n'.join([*lines, '']), 'utf-8')
    (folder / STAMP).write_text(json.dumps({**stamp, 'summary': summary}, indent=1) + '\n', 'utf-8')


def _read_stamp(root: Path) -> dict | None:
    try:
        stamp = json.loads((root / STAMP).read_text('utf-8'))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and stamp.get('generator') == 'mdvision mini_voc' else None


def _is_complete(root: Path, stamp: dict) -> bool:
    """Return whether ``root`` holds the set that ``stamp`` describes, with no file missing or empty."""
    found = _read_stamp(root)
    if found is None or any(found.get(key) != value for key, value in stamp.items()):
        return False
    files = [f'ImageSets/Main/{name}.txt' for name in ('train', 'val', 'trainval')]
    for split in SPLITS:
        for i in range(stamp[f'num_{split}']):
            files += [f'JPEGImages/{split}_{i:06d}.jpg', f'Annotations/{split}_{i:06d}.xml']
    try:
        return all((root / name).stat().st_size > 0 for name in files)
    except OSError:
        return False


def _foreign(root: Path) -> str:
    """Return why ``root`` must not be deleted (it holds files from elsewhere), or ''."""
    if not root.exists():
        return ''
    if not root.is_dir():
        return f'mini_voc cannot create the folder {root}: it is a file. Choose another path.'
    entries = sorted(path.name for path in root.iterdir())
    if not entries:
        return ''
    if _read_stamp(root) is None:
        return (
            f'mini_voc does not touch {root}: the folder is not empty (it holds {entries[0]!r}) and has no '
            f'{STAMP} that says mini_voc created it. Choose another path, or remove the folder yourself.'
        )
    for path in sorted(root.rglob('*')):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or (not path.is_dir() and not _OUR_FILES.fullmatch(name)):
            return (
                f'mini_voc would regenerate {root} (other arguments, or missing files), but it holds '
                f'{name!r}, which mini_voc did not create. Move that file away, or choose another path.'
            )
    return ''


def _refuse_foreign(root: Path) -> None:
    """Check that everything in ``root`` may be deleted.

    Raises:
        UserError: the folder holds files that this module did not create.
    """
    reason = ''
    for _ in range(3):  # another process may be swapping the folder at this moment
        try:
            reason = _foreign(root)
        except FileNotFoundError:
            reason = f'mini_voc could not read {root}: its files keep changing.'
        if not reason:
            return
        time.sleep(0.1)
    raise UserError(reason)


def _stamp(num_train: int, num_val: int, size: tuple[int, int], seed: int) -> dict:
    width, height = size
    if min(num_train, num_val, seed) < 0 or min(width, height) < 48:
        raise UserError(
            f'mini_voc: expected counts and seed >= 0 and an image size (width, height) of at least 48, got '
            f'num_train={num_train}, num_val={num_val}, size={tuple(size)}, seed={seed}.'
        )
    return {
        'generator': 'mdvision mini_voc',
        'version': GENERATOR_VERSION,
        'num_train': int(num_train),
        'num_val': int(num_val),
        'size': [int(width), int(height)],
        'seed': int(seed),
    }


def _build(root: Path, stamp: dict, keep_complete: bool) -> Path:
    """Generate next to ``root`` and move the finished folder there, so that no partial set is visible."""
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'.{root.name}.making-'
    for stale in root.parent.glob(f'{prefix}*'):  # left by a process that was killed
        if time.time() - stale.stat().st_mtime > 3600:
            shutil.rmtree(stale, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=root.parent))
    try:
        new, old = making / 'new', making / 'old'
        new.mkdir()
        _write_set(new, stamp)
        for _ in range(20):
            if keep_complete and _is_complete(root, stamp):
                return root  # another process was faster: its set is the same
            _refuse_foreign(root)
            try:
                if root.exists():
                    os.replace(root, old)
                os.replace(new, root)
                return root
            except OSError:  # another process moved in between
                shutil.rmtree(old, ignore_errors=True)
                time.sleep(0.05)
        raise UserError(f'mini_voc could not put its folder at {root}: something else keeps writing there.')
    finally:
        shutil.rmtree(making, ignore_errors=True)


def make_mini_voc(
    root: str | os.PathLike,
    num_train: int = 320,
    num_val: int = 80,
    size: tuple[int, int] = (160, 120),
    seed: int = 0,
) -> Path:
    """Generate the data set in ``root`` (created if needed) and return ``root``.

    The files are ``JPEGImages/*.jpg``, ``Annotations/*.xml``, ``ImageSets/Main/{train,val,trainval}.txt`` and
    the stamp ``mini_voc.json``. An older set that this module generated is replaced.

    Args:
        root: the folder.
        num_train: number of training images.
        num_val: number of validation images.
        size: (width, height) of an image in pixels.
        seed: seed of the generator.

    Raises:
        UserError: the folder holds anything else.
    """
    root = Path(root)
    stamp = _stamp(num_train, num_val, size, seed)
    _refuse_foreign(root)
    return _build(root, stamp, keep_complete=False)


def ensure_mini_voc(
    root: str | os.PathLike,
    num_train: int = 320,
    num_val: int = 80,
    size: tuple[int, int] = (160, 120),
    seed: int = 0,
) -> Path:
    """Like :func:`make_mini_voc`, but keep a complete set with the same arguments.

    Several processes may call it at once with the same arguments.
    """
    root = Path(root)
    stamp = _stamp(num_train, num_val, size, seed)
    if _is_complete(root, stamp):
        return root
    _refuse_foreign(root)
    return _build(root, stamp, keep_complete=True)


def main(argv: list[str] | None = None) -> int:
    """Command line: generate the set and print one line about it."""
    parser = argparse.ArgumentParser(
        prog='python -m mdvision.datasets.mini_voc', description=__doc__.split('\n')[0]
    )
    parser.add_argument('root', help='folder to create')
    parser.add_argument('--train', type=int, default=320, metavar='N', help='number of training images')
    parser.add_argument('--val', type=int, default=80, metavar='N', help='number of validation images')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(160, 120), metavar=('W', 'H'), help='width and height in pixels'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    try:
        root = ensure_mini_voc(args.root, args.train, args.val, tuple(args.size), args.seed)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    summary = _read_stamp(root)['summary']
    counts = ', '.join(f'{name} {number}' for name, number in summary['objects'].items())
    print(
        f'{root}: {args.train} train + {args.val} val images ({summary["empty"]} without objects); {counts}; '
        f'{summary["difficult"]} difficult, {summary["truncated"]} truncated'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
