"""Telling a damaged checkpoint from a whole one: a check sum of the whole file, kept at its end.

A checkpoint of torch is a zip archive, and torch does not compare the check sums of its members. Ours end in
the archive's comment with the SHA-256 of all bytes before it: every reader of zip archives passes over it,
and it goes where the file goes. It tells of accidents; who changes a file on purpose can write another sum.
"""

import hashlib
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

from mdvision.errors import UserError

__all__ = ['check_whole', 'seal']

_DIGITS = 64
_FOLDER = 0x10  # among the attributes of a member
_MARK = b'mdvision sha256 '
# The end of a zip archive: this mark, 16 bytes, the length of the comment in two bytes, the comment.
_START, _END, _END_SIZE, _LONGEST_COMMENT = b'PK\x03\x04', b'PK\x05\x06', 22, 65535


def seal(path: Path) -> None:
    """Append the check sum to a checkpoint that ``torch.save`` has just written.

    Raises:
        ValueError: the file is no zip archive, or has a comment already.
    """
    with path.open('r+b') as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END_SIZE, 0))
        end = file.read()
        if not (end.startswith(_END) and end.endswith(b'\0\0')):
            raise ValueError(f'{path} is no zip archive without a comment')
        file.seek(-2, 2)
        file.write((len(_MARK) + _DIGITS).to_bytes(2, 'little') + _MARK)
        digest = _digest(file, size + len(_MARK))
        file.seek(0, 2)
        file.write(digest)


def check_whole(path: Path) -> None:
    """Compare the bytes of a checkpoint with the check sums in it.

    A file of ours has one for the whole; one of another program has one for the contents of each member of
    the archive; the format of before torch 1.6 has none, and passes.

    Raises:
        UserError: they differ, or the archive does not end where the file ends.
    """
    with path.open('rb') as file:
        if file.read(4) != _START:
            return
        size = file.seek(0, 2)
        file.seek(max(size - _END_SIZE - _LONGEST_COMMENT, 0))
        tail = file.read()
        end = tail.rfind(_END)
        comment = tail[end + _END_SIZE :]
        if end < 0 or tail[end + 20 : end + 22] != len(comment).to_bytes(2, 'little'):
            raise UserError('it is cut short, or something was appended to it')
        if comment:
            sealed = re.fullmatch(re.escape(_MARK) + rb'([0-9a-f]{64})', comment)
            if not sealed or _digest(file, size - _DIGITS) != sealed[1]:
                raise UserError('its bytes are not those that were written (SHA-256)')
            return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() or _unlike_torch(archive)
    except Exception as error:  # whatever a table of contents that makes no sense leads to
        raise UserError(f'its table of contents is damaged ({type(error).__name__})') from error
    if damaged:
        raise UserError(f'{damaged!r:.60} in it is damaged: check sum, size or kind is not that of its bytes')


def _unlike_torch(archive: zipfile.ZipFile) -> str | None:
    """A member that zipfile reads and torch does not, so that a tensor gets whatever is in the memory."""
    for member in archive.infolist():
        sizes_differ = member.compress_size != member.file_size
        if (member.compress_type == zipfile.ZIP_STORED and sizes_differ) or member.external_attr & _FOLDER:
            return member.filename
    return None


def _digest(file: BinaryIO, size: int) -> bytes:
    """The SHA-256 of the first ``size`` bytes, as 64 digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0:
        part = file.read(min(size, 1 << 20))
        digest.update(part)
        size -= len(part)
    return digest.hexdigest().encode()
