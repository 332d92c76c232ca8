"""Tell a damaged checkpoint from an intact one, by a checksum of the whole file at its end.

A torch checkpoint is a zip archive, and torch does not verify the checksums of its members. mdvision's
checkpoints end, in the archive's comment, with the SHA-256 of all bytes before it: every zip reader skips it,
and it stays with the file. It detects accidents; whoever modifies a file on purpose can write another
checksum.
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
    """Append the checksum to a checkpoint that ``torch.save`` has just written.

    Raises:
        ValueError: the file is not a zip archive, or already has a comment.
    """
    with path.open('r+b') as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END_SIZE, 0))
        end = file.read()
        if not (end.startswith(_END) and end.endswith(b'\0\0')):
            raise ValueError(f'{path} is not a zip archive without a comment')
        file.seek(-2, 2)
        file.write((len(_MARK) + _DIGITS).to_bytes(2, 'little') + _MARK)
        digest = _digest(file, size + len(_MARK))
        file.seek(0, 2)
        file.write(digest)


def check_whole(path: Path) -> None:
    """Compare the bytes of a checkpoint with its checksums.

    A file written by mdvision has one for the whole file; one from another program has one for the contents
    of each archive member; the format from before torch 1.6 has none, and passes.

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
            raise UserError('it is truncated, or something was appended to it')
        if comment:
            sealed = re.fullmatch(re.escape(_MARK) + rb'([0-9a-f]{64})', comment)
            if not sealed or _digest(file, size - _DIGITS) != sealed[1]:
                raise UserError('its bytes differ from those that were written (SHA-256)')
            return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() or _unlike_torch(archive)
    except Exception as error:  # whatever an invalid table of contents leads to
        raise UserError(f'its table of contents is damaged ({type(error).__name__})') from error
    if damaged:
        raise UserError(f'{damaged!r:.60} in it is damaged: checksum, size or kind does not match its bytes')


def _unlike_torch(archive: zipfile.ZipFile) -> str | None:
    """Find a member that zipfile reads and torch does not, so that a tensor gets uninitialized memory."""
    for member in archive.infolist():
        sizes_differ = member.compress_size != member.file_size
        if (member.compress_type == zipfile.ZIP_STORED and sizes_differ) or member.external_attr & _FOLDER:
            return member.filename
    return None


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the first ``size`` bytes, as 64 digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0:
        part = file.read(min(size, 1 << 20))
        digest.update(part)
        size -= len(part)
    return digest.hexdigest().encode()
