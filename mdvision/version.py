"""The version of mdvision."""

__version__ = '0.1.0'
