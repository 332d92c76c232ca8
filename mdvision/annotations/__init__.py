"""Box annotations in other formats: read strictly, split, written in any of the formats.

Every format has a module with ``read`` and ``write``, on the standard library: neither ``datumaro`` 1.13 nor
``supervision`` 0.31 names every object that it leaves out. The former also skips annotations of unknown
images with a log line, reads LabelMe's older XML only and excludes the tested Pillow; the latter keeps boxes
as float32 and reads neither CVAT nor CSV.
"""

from .conversion import FORMATS, convert

__all__ = ['FORMATS', 'convert']
