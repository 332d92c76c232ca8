"""Fixtures of the VOC tests."""

import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def folder(tmp_path):
    from voc_folder import Folder  # imports mmdet: only for tests that need it

    return Folder(tmp_path / 'my data')


@pytest.fixture
def summary():
    """Everything that reached the run's logger, and with it the log file, as one text."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_instance('a run')  # not mmengine's own logger, which is no run's
    logger.addHandler(handler)
    yield lambda: '\n'.join(lines)
    logger.removeHandler(handler)
    MMLogger._instance_dict.pop('a run')
