"""mdvision is imported first: it supplies mmcv's compiled ops to everything that imports them."""

import gc
import os
import signal
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

import mdvision  # noqa: F401
from tests.fault_table import FaultTable


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--fault-table', action='store_true', help='write the table in tests/README.md')


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FaultTable(config))
    # In the background and under nohup some are ignored from the start, and a run leaves those ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def pytest_collection_finish() -> None:
    """Leave what was imported out of every garbage collection: a million objects that stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def real_data() -> Path:
    """The folder with the real data sets (MDVISION_DATA), or a skip where there is none."""
    folder = Path(os.environ.get('MDVISION_DATA', ''))
    if not os.environ.get('MDVISION_DATA') or not folder.is_dir():
        pytest.skip('no real data: set MDVISION_DATA to the folder that holds them')
    return folder


@pytest.fixture(autouse=True)
def own_default_scope():
    """What a test sets as default scope of the registries ends with it."""
    yield
    DefaultScope._instance_dict.clear()
