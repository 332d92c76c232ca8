"""The names of the files in a work directory, for all code that writes, finds or moves them."""

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
    'MODEL',
    'MODEL_WEIGHTS',
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
# What an interrupted run leaves behind.
INTERRUPTED = 'interrupted.pth'
# Incomplete files of killed runs.
TEMPORARY = '.*.pth.*.tmp'

METRICS = 'metrics.csv'
RESULTS = 'results.json'
CURVES = 'curves.png'
PREDICTIONS = 'predictions.png'
# With .png and .csv.
CONFUSIONS = 'confusion_matrix'
PR_CURVES = 'pr_curves'
# Prefix of the files of tools/test.py.
TEST = 'test_'

_WITH_NUMBERS = {name + ending for name in (CONFUSIONS, PR_CURVES) for ending in ('.png', '.csv')}
# Weights and description of the trained model.
MODEL_WEIGHTS, MODEL = 'model.safetensors', 'model.json'
_REPORTS = {RESULTS, CURVES, PREDICTIONS, MODEL, MODEL_WEIGHTS} | _WITH_NUMBERS
# One per start of a run, named after its time.
LOG_FOLDER = re.compile(r'\d{8}_\d{6}')
_HEADER = '# The config of a run of mdvision, with all that the command line said. It began as: '


def config_header(config: str | None) -> str:
    """Return the first line of a saved config, which identifies it and names its source.

    Args:
        config: the file; None for a run that started without one.
    """
    if config is None:
        return f'{_HEADER}no file\n'
    path = Path(config).absolute()
    # Relative to the project's folder, so that the folder may be moved.
    return f'{_HEADER}{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}\n'


def recorded_config(file: Path) -> str | None:
    """Return the config file from which a run started, as recorded in the config it saved; otherwise None."""
    try:
        with file.open(encoding='utf-8') as opened:
            first = opened.readline()
    except (OSError, UnicodeDecodeError):
        return None
    return first.removeprefix(_HEADER).strip() if first.startswith(_HEADER) else None


def is_report(path: Path) -> bool:
    """Return whether a file is a metric or a figure written at the end of a run or a test."""
    return path.name.removeprefix(TEST) in _REPORTS


def is_of_a_run(path: Path) -> bool:
    """Return whether a run wrote a file (checkpoint, log, report or config), rather than a user."""
    name = path.name
    if name in (INTERRUPTED, LAST_CHECKPOINT, METRICS) or is_report(path):
        return True
    if STEP_CHECKPOINT.fullmatch(name) or (name.startswith('best_') and name.endswith('.pth')):
        return True
    return bool(LOG_FOLDER.fullmatch(name)) or (path.suffix == '.py' and recorded_config(path) is not None)
