"""Decode image files as the data loaders do, in child processes, to capture the decoder's messages.

OpenCV returns no image for some damaged files and wrong pixels for others. In the latter case libjpeg writes
a line to stderr, and nothing else reveals it. Each child process captures its own stderr, so that the line
can be assigned to a file. JPEGs are decoded at an eighth of their size: the whole file is read and every code
in it parsed, at a third of the cost.

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
_PATIENCE = 60.0  # seconds a child waits for more files


def decode_processes(files: int) -> int:
    """Return how many processes to start: the cores available to this process, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get('LOCAL_WORLD_SIZE', '1')), files // 20))


def decode_files(paths: list[str], done: Callable[[int], None] = lambda count: None) -> list[tuple[str, str]]:
    """Decode each file with OpenCV and report what it says.

    Args:
        paths: image files.
        done: called with the number of additional files that are finished.

    Returns:
        per path a fault (``''`` if the file decodes) and the decoder's message (``''`` if there is none).
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
    """Decode files in a child process; if a file crashes it, start another child after that file."""
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
            child.kill()  # the remaining files are no longer needed
            child.communicate()
            raise
        if position == len(paths) and not _kept:
            _kept.append(child)
            return
        child.communicate()  # ends the child
        # A reused child that ended before its first answer had timed out while idle: no file caused that.
        if position < len(paths) and (answers or not kept):
            yield _fault(_CRASHED, f'status {child.returncode}')
            position += 1


_kept: list[subprocess.Popen] = []
"""A child that waits for the next files, as starting one takes longer than decoding a few."""

if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_kept.clear)  # it answers the process that started it


def _kept_child() -> subprocess.Popen | None:
    try:
        child = _kept.pop()
    except IndexError:  # none, or another thread is using it
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
    """Send the paths to a child; return one answer per path, fewer if the child ends."""
    request = json.dumps([os.path.abspath(path) for path in paths])
    with contextlib.suppress(BrokenPipeError):  # the child ended: there are no answers
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
    """Run in the child: read a JSON list of paths per line, write one JSON line per path.

    The child ends with the process that started it, or after a minute without requests.
    """
    cv2.setNumThreads(1)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        while select.select([sys.stdin], [], [], _PATIENCE)[0] and (request := sys.stdin.readline()):
            for path in json.loads(request):
                before = os.lseek(heard.fileno(), 0, os.SEEK_END)
                state, jpeg = _decode(path)
                said = os.pread(heard.fileno(), 2000, before).decode(errors='replace').split('\n')[0].strip()
                said = said if state or jpeg else ''  # the decoder prints harmless messages for intact PNGs
                print(json.dumps([state, said]), flush=True)


def _decode(path: str) -> tuple[str, bool]:
    """Return the fault (``''`` if the file decodes) and whether the file is a JPEG."""
    try:
        data = np.fromfile(path, np.uint8)
        jpeg = data[:2].tobytes() == b'\xff\xd8'
        # Other formats are decoded in full in any case, and a one-pixel image has no eighth.
        picture = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8 if jpeg else cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return UNREADABLE, False
    return '' if picture is not None else UNREADABLE, jpeg


if __name__ == '__main__':
    _serve()
