"""The names of what a run leaves in its folder: who writes, finds or sets aside takes them from here."""

import re
from pathlib import Path

__all__ = [
    'BEST_CHECKPOINT',
    'CONFUSIONS',
    'CURVES',
    'INTERRUPTED',
    'LAST_CHECKPOINT',
    'LOG_FOLDER',
    'METRICS',
    'PREDICTIONS',
    'PR_CURVES',
    'RESULTS',
    'STEP_CHECKPOINT',
    'TEMPORARY',
    'TEST',
    'config_header',
    'is_of_a_run',
    'is_report',
    'recorded_config',
]

# Checkpoints as mmengine names them.
STEP_CHECKPOINT = re.compile(r'(epoch|iter)_(\d+)\.pth')
BEST_CHECKPOINT = re.compile(r'best_.*_(epoch|iter)_(\d+)\.pth')
LAST_CHECKPOINT = 'last_checkpoint'
# What a run that was told to stop leaves behind.
INTERRUPTED = 'interrupted.pth'
# Half-written files of killed runs.
TEMPORARY = '.*.pth.*.tmp'

METRICS = 'metrics.csv'
RESULTS = 'results.json'
CURVES = 'curves.png'
PREDICTIONS = 'predictions.png'
# With .png and .csv.
CONFUSIONS = 'confusion_matrix'
PR_CURVES = 'pr_curves'
# Before the names of the files of tools/test.py.
TEST = 'test_'

_WITH_NUMBERS = {name + ending for name in (CONFUSIONS, PR_CURVES) for ending in ('.png', '.csv')}
_REPORTS = {RESULTS, CURVES, PREDICTIONS} | _WITH_NUMBERS
# One per start of a run, named by its time.
LOG_FOLDER = re.compile(r'\d{8}_\d{6}')
_HEADER = '# The config of a run of mdvision, with all that the command line said. It began as: '


def config_header(config: str | None) -> str:
    """The first line of the config that a run leaves: it is one, and of which file.

    Args:
        config: the file; None for a run that began from no file.
    """
    if config is None:
        return f'{_HEADER}no file\n'
    path = Path(config).absolute()
    # As it is written in the project's folder, so that the folder may be moved.
    return f'{_HEADER}{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}\n'


def recorded_config(file: Path) -> str | None:
    """The config file that a run began from, by the config that it left; None for any other file."""
    try:
        with file.open(encoding='utf-8') as opened:
            first = opened.readline()
    except (OSError, UnicodeDecodeError):
        return None
    return first.removeprefix(_HEADER).strip() if first.startswith(_HEADER) else None


def is_report(path: Path) -> bool:
    """Whether it is a number or a picture that a training or a test ends with."""
    return path.name.removeprefix(TEST) in _REPORTS


def is_of_a_run(path: Path) -> bool:
    """Whether a run wrote it: checkpoint, log, report or config; nothing that a user put there."""
    name = path.name
    if name in (INTERRUPTED, LAST_CHECKPOINT, METRICS) or is_report(path):
        return True
    if STEP_CHECKPOINT.fullmatch(name) or (name.startswith('best_') and name.endswith('.pth')):
        return True
    return bool(LOG_FOLDER.fullmatch(name)) or (path.suffix == '.py' and recorded_config(path) is not None)
