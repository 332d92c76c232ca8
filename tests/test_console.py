"""Which lines of a run reach the console."""

import logging

import pytest

from mdvision.console import ConsoleFilter


@pytest.mark.parametrize(
    ('level', 'text', 'shown'),
    [
        (logging.INFO, 'Distributed environment: False', False),
        (logging.WARNING, 'the disk is nearly full', True),
        (logging.WARNING, '"FileClient" will be deprecated in future', False),
        (logging.ERROR, 'FileClient: cannot write epoch_1.pth', True),
        (logging.CRITICAL, 'HardDiskBackend: cannot write epoch_1.pth', True),
    ],
)
def test_known_noise_is_hidden_and_no_error_is(level, text, shown):
    record = logging.LogRecord('run', level, 'module.py', 1, text, None, None)
    assert ConsoleFilter().filter(record) is shown
