"""User-defined names in a figure: shown as they are written, in fonts that have their letters."""

import contextlib
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

__all__ = ['any_letters', 'font_for', 'has_letters', 'plain']

# Common system fonts with Chinese, Japanese and Korean letters; the installed ones are used.
_MORE_FONTS = ('Noto Sans CJK JP', 'Noto Sans CJK SC', 'Source Han Sans', 'IPAexGothic', 'IPAGothic',
               'WenQuanYi Zen Hei', 'Droid Sans Fallback', 'Hiragino Sans', 'Yu Gothic', 'MS Gothic',
               'Microsoft YaHei', 'SimHei', 'Malgun Gothic', 'Arial Unicode MS')  # fmt: skip


def plain(text: str) -> str:
    """Escape text for matplotlib, which takes anything between two dollar signs for a formula."""
    return text.replace('$', r'\$')


@contextlib.contextmanager
def any_letters() -> Iterator[None]:
    """Draw each letter in the first font that has it; a letter in none is a box, without a warning."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ['DejaVu Sans', *(name for name in _MORE_FONTS if name in installed)]
    with matplotlib.rc_context({'font.family': families}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message=r'Glyph .* missing from')
        yield


def font_for(text: str, size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font for Pillow that has every letter of ``text``; where none has them, DejaVu Sans.

    Args:
        text: what is to be written.
        size: in pixels.
        bold: of DejaVu Sans only.
    """
    file = _dejavu(bold) if text.isascii() else _file_for(text, bold) or _dejavu(bold)
    return _opened(file, size)


def has_letters(text: str) -> bool:
    """Return whether some installed font has every letter of ``text``."""
    return text.isascii() or _file_for(text) is not None


@cache
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@cache
def _dejavu(bold: bool = False) -> str:
    # The font that comes with matplotlib: the same on every machine.
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', name))


@lru_cache(4096)
def _file_for(text: str, bold: bool = False) -> str | None:
    """Return the first font file that has the letters: DejaVu Sans, the common ones, then any other."""
    letters = {ord(letter) for letter in text if unicodedata.category(letter) not in ('Cc', 'Cf', 'Zs')}
    if letters <= _letters(_dejavu(bold)):
        return _dejavu(bold)
    regular = [
        font
        for font in font_manager.fontManager.ttflist
        # The last resort has a box with a question mark for every letter.
        if font.style == 'normal' and font.weight in (400, 500) and 'Last Resort' not in font.name
    ]
    rank = {name: index for index, name in enumerate(_MORE_FONTS)}
    for font in sorted(regular, key=lambda font: (rank.get(font.name, len(rank)), font.name)):
        if letters <= _letters(font.fname):
            return font.fname
    return None


@cache
def _letters(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # removed since matplotlib listed it, or damaged
        return frozenset()
