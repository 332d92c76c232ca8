"""User-defined names in a figure: shown as they are written, in fonts that have their letters."""

import contextlib
import warnings
from collections.abc import Iterator

import matplotlib
from matplotlib import font_manager

__all__ = ['any_letters', 'plain']

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
