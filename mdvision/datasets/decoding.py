"""Decoding image files as the loaders do, in processes of their own, to hear what the decoder says of them.

OpenCV gives no picture for some damaged files, and garbled pixels for others: then libjpeg writes a line to
the error stream and nothing else tells. Here each child process keeps that stream for itself, so that the
line is known with the file. JPEGs are reduced to an eighth: the whole file is read and every code in it
followed, at a third of the price.

The child runs this file as a script, so nothing of the package is imported.
"""

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

__all__ = ['UNREADABLE', 'decode_files', 'decode_processes']

UNREADABLE = 'unreadable'
_CRASHED = 'crashed'
_PATIENCE = 60.0  # seconds that a child waits for further files


def decode_processes(files: int) -> int:
    """How many processes are worth starting: those of the cores that this process has, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get('LOCAL_WORLD_SIZE', '1')), files // 20))


def decode_files(paths: list[str], done: Callable[[int], None] = lambda count: None) -> list[tuple[str, str]]:
    """What OpenCV makes of each file.

    Args:
        paths: of image files.
        done: called with the number of further files, as they are finished.

    Returns:
        for each path a fault, ``''`` where there is a picture, and what the decoder said of that: or ``''``.
    """
    if not paths:
        return []
    count = decode_processes(len(paths))
    with ThreadPoolExecutor(count) as pool:
        parts = pool.map(lambda part: list(_decode_part(paths[part::count], done)), range(count))
        results = [('', '')] * len(paths)
        for part, found in enumerate(parts):
            results[part::count] = found
    return results


def _decode_part(paths: list[str], done: Callable[[int], None]) -> Iterator[tuple[str, str]]:
    """What a child says; one that a file crashes is followed by another, which goes on behind that file."""
    position = 0
    while position < len(paths):
        child = _kept_child()
        kept, answers = child is not None, 0
        child = child or _start_child()
        try:
            for line in _ask(child, paths[position:]):
                yield _fault(*json.loads(line))
                position, answers = position + 1, answers + 1
                done(1)
        except BaseException:
            child.kill()  # what is left is not asked for any more
            child.communicate()
            raise
        if position == len(paths) and not _kept:
            _kept.append(child)
            return
        child.communicate()  # ends it
        # A kept child that ended before its first answer had waited too long: no file did that.
        if position < len(paths) and (answers or not kept):
            yield _fault(_CRASHED, f'status {child.returncode}')
            position += 1


_kept: list[subprocess.Popen] = []
"""A child that waits for the next files, as starting one takes longer than decoding a few."""

if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_kept.clear)  # it answers to the process that started it


def _kept_child() -> subprocess.Popen | None:
    try:
        child = _kept.pop()
    except IndexError:  # none, or another thread has it
        return None
    return child if child.poll() is None else None


def _start_child() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _ask(child: subprocess.Popen, paths: list[str]) -> Iterator[bytes]:
    """An answer for each path; fewer where the child ends."""
    request = json.dumps([os.path.abspath(path) for path in paths])
    with contextlib.suppress(BrokenPipeError):  # it ended: then there are no answers
        child.stdin.write(f'{request}\n'.encode())
        child.stdin.flush()
    yield from itertools.islice(child.stdout, len(paths))


def _fault(state: str, said: str) -> tuple[str, str]:
    reasons = {
        UNREADABLE: 'cannot be decoded by OpenCV, which loads the images',
        _CRASHED: 'crashes the decoder',
    }
    if state not in reasons:
        return '', said
    return reasons[state] + f' ({said})' * bool(said), ''


def _serve() -> None:
    """The child: a line with a JSON list of paths comes in, a JSON line for each path goes out.

    It ends with the process that started it, and when it was asked nothing for a minute.
    """
    cv2.setNumThreads(1)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        while select.select([sys.stdin], [], [], _PATIENCE)[0] and (request := sys.stdin.readline()):
            for path in json.loads(request):
                before = os.lseek(heard.fileno(), 0, os.SEEK_END)
                state, jpeg = _decode(path)
                said = os.pread(heard.fileno(), 2000, before).decode(errors='replace').split('\n')[0].strip()
                said = said if state or jpeg else ''  # of a sound PNG the decoder says harmless things
                print(json.dumps([state, said]), flush=True)


def _decode(path: str) -> tuple[str, bool]:
    """The state, ``''`` where there is a picture, and whether it is a JPEG."""
    try:
        data = np.fromfile(path, np.uint8)
        jpeg = data[:2].tobytes() == b'\xff\xd8'
        # of other formats all pixels are decoded in any case, and one pixel has no eighth
        picture = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8 if jpeg else cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return UNREADABLE, False
    return '' if picture is not None else UNREADABLE, jpeg


if __name__ == '__main__':
    _serve()
