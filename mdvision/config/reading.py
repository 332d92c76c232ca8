"""Read a config file with its bases, strictly: a name that nothing reads is found."""

import ast
import os
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import mmengine
import yaml
from mmengine.config import Config

from mdvision.console import say
from mdvision.errors import MISSPELLED_SECTION, UserError, did_you_mean
from mdvision.findings import Finding, report
from mdvision.text import shortlist

from .keys import TOP_LEVEL_KEYS
from .values import check_values

__all__ = ['find_unread_names', 'load_config', 'read_files']

# Names in the configs of MMDetection 2 and MMClassification, and variables that mean nothing by themselves.
_NOW_CALLED = dict(
    batch_size='train_dataloader.batch_size',
    checkpoint_config='default_hooks.checkpoint',
    data='train_dataloader, val_dataloader and test_dataloader',
    data_root='train_dataloader.dataset.data_root, and those of val and test',
    evaluation='val_evaluator and train_cfg.val_interval',
    fp16='optim_wrapper.type (or --amp)',
    log_config='default_hooks.logger and visualizer',
    lr='optim_wrapper.optimizer.lr',
    lr_config='param_scheduler',
    max_epochs='train_cfg.max_epochs',
    num_classes='num_classes of the head in model',
    num_workers='train_dataloader.num_workers',
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    resume_from='load_from and resume',
    runner='train_cfg',
    seed='randomness.seed',
    total_epochs='train_cfg.max_epochs',
)
# Former names of configs, in published commands and in the _base_ of users, from the project root, and the
# present ones.
_FORMER_NAMES = {
    'configs/_base_/schedules/cpu_5_epochs.py': 'configs/_base_/cpu_5_epochs.py',
    'configs/mdnet/cifar_mobilenet_v2_faster_rcnn_voc.py': (
        'configs/mdnet/mobilenet_v2_cifar_faster_rcnn_voc.py'
    ),
    'configs/mdnet/mobilenet_v2_faster_rcnn_voc.py': 'configs/mdnet/mobilenet_v2_cifar_faster_rcnn_voc.py',
}
# They resemble train_pipeline and test_pipeline, which are names of helper variables.
_NAMED_LIKE_OTHERS = {'tta_model', 'tta_pipeline'}


@dataclass
class ConfigFile:
    """One file of a config.

    Attributes:
        path: the file, as an absolute path.
        names: what it sets at its top level, with the line.
        read: names that it reads itself.
        read_of_bases: names of its bases that it reads, as ``_base_.NAME``.
    """

    path: Path
    names: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    read_of_bases: set[str] = field(default_factory=set)


def load_config(path: str) -> Config:
    """Read a config file; if it was renamed, the file under its present name.

    Raises:
        UserError: the file or one of its bases is missing, is not a config or cannot be run; bases are
            circular; a name is close to that of a section; or a section has the wrong kind.
    """
    file = Path(path)
    now = _present_name(file)
    if now is not None:
        say(f'{file} is now called {now}.')
        file = now
    if not file.is_file():
        known = sorted(p.as_posix() for p in Path('configs').rglob('*.py') if '_base_' not in p.parts)
        hint = did_you_mean(str(file), known)
        raise UserError(
            f'Config file {path} does not exist (looked in {Path.cwd()}).'
            + (hint or (f' Available: {shortlist(known, 8)}.' if known else ' Run from the project root.'))
        )
    files = read_files(file)
    try:
        cfg = Config.fromfile(file)
    except Exception as error:
        raise UserError(f'{_place(error, files)} cannot be read as a config: {_reason(error)}') from error
    report([*find_unread_names(files), *check_values(cfg, str(file))])
    return cfg


def _present_name(file: Path) -> Path | None:
    """Return the present file of a config that was renamed; None if it was not."""
    for former, name in _FORMER_NAMES.items():
        now = Path(file.as_posix().removesuffix(former)) / name
        if file.as_posix().endswith(former) and not file.is_file() and now.is_file():
            return now
    return None


def read_files(file: Path) -> list[ConfigFile]:
    """Return the files of a config, bases first and the config itself last, without running them.

    Raises:
        UserError: a base is missing or circular, or the text of a file is not a config.
    """
    files: dict[Path, ConfigFile] = {}
    _read(Path(os.path.abspath(file)), [], files)
    return list(files.values())


def _read(path: Path, above: list[Path], files: dict[Path, ConfigFile]) -> None:
    if path in above:
        circle = ' -> '.join(map(_shown, [*above[above.index(path) :], path]))
        raise UserError(f'The bases of the config are circular: {circle}. Remove one of these _base_.')
    if path in files:
        return
    if not path.is_file():
        now = _present_name(path)
        raise UserError(
            f'{_shown(above[-1])}: one of its base files is missing: {_shown(path)}. '
            + (f'It is now called {_shown(now)}: change _base_.' if now else 'Check its _base_ entries.')
        )
    read = dict(py=_python, json=_plain, yaml=_plain, yml=_plain).get(path.suffix[1:])
    if read is None:
        raise UserError(f'{_shown(path)} is not a config: expected a Python file, *.py (or *.yaml, *.json).')
    try:
        found, bases = read(path)
    except UnicodeDecodeError as error:
        raise UserError(f'{_shown(path)} is not a config: it is not UTF-8 text ({error}).') from error
    except (SyntaxError, ValueError, RecursionError, yaml.YAMLError) as error:
        line = f':{error.lineno}' if isinstance(error, SyntaxError) and error.lineno else ''
        raise UserError(f'{_shown(path)}{line} cannot be read as a config: {_reason(error)}') from error
    for base in bases:
        _read(_find_base(base, path), [*above, path], files)
    files[path] = found


def _find_base(base: object, path: Path) -> Path:
    if not isinstance(base, str):
        raise UserError(
            f'{_shown(path)}: _base_ is {base!r}; expected the path of a config, or a list of paths.'
        )
    if '::' not in base:
        return Path(os.path.normpath(path.parent / base))
    try:
        return Path(os.path.normpath(Config._get_cfg_path(base, str(path))[0]))
    except Exception as error:  # of the package, its model index, or the file
        package, _, name = base.partition('::')
        folder = (
            Path(mmengine.utils.get_installed_path(package), '.mim', 'configs')
            if (mmengine.utils.is_installed(package))
            else None
        )
        if folder is None:
            raise UserError(f'{_shown(path)}: _base_ {base!r}: {package} is not installed.') from error
        known = [p.relative_to(folder).as_posix() for p in folder.rglob('*.py')]
        raise UserError(
            f'{_shown(path)}: one of its base files is missing: {package} has no config {name}.'
            f'{did_you_mean(name, known)} They are in {folder}.'
        ) from error


def _python(path: Path) -> tuple[ConfigFile, list]:
    """Return what a Python file sets and reads, and its bases as far as they are literals."""
    tree = ast.parse(path.read_text(encoding='utf-8'), str(path))
    found, bases = ConfigFile(path), []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.names.setdefault(node.id, node.lineno)
        # Like mmengine: the first one counts.
        named = isinstance(statement, ast.Assign) and getattr(statement.targets[0], 'id', '') == '_base_'
        if named and not bases and '{{' not in ast.unparse(statement.value):
            try:
                value = ast.literal_eval(statement.value)
            except ValueError:  # computed by code: mmengine runs it
                continue
            bases = list(value) if isinstance(value, list | tuple) else [value]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.read.add(node.id)
        elif isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == '_base_':
            found.read_of_bases.add(node.attr)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.read.add(node.target.id)
    if any(isinstance(node, ast.With) for node in tree.body):  # read_base(): names come through imports
        found.names.clear()
    return found, bases


def _plain(path: Path) -> tuple[ConfigFile, list]:
    """Return what a YAML or JSON file sets, and its bases. Unlike mmengine's loader, this runs no tags."""
    text = path.read_text(encoding='utf-8')
    value = mmengine.load(path) if path.suffix == '.json' else yaml.safe_load(text)
    if not isinstance(value, dict):
        raise ValueError(f'expected a mapping of sections, got {type(value).__name__}')
    bases = value.get('_base_', [])
    return ConfigFile(path, dict.fromkeys(map(str, value), 0)), bases if isinstance(bases, list) else [bases]


def find_unread_names(files: list[ConfigFile]) -> list[Finding]:
    """Find names at the top level of config files that nothing reads.

    A name close to that of a section is an error; any other in the last file, the config itself, is a
    warning. Helper variables are read by other lines of their file, or by the config as ``_base_.NAME``.
    """
    read_of_bases = set().union(*(file.read_of_bases for file in files))
    findings = []
    for file in files:
        for name, line in file.names.items():
            read = TOP_LEVEL_KEYS | file.read | read_of_bases | {'_base_', '_deprecation_', '_delete_'}
            if name in read or name.startswith('__'):
                continue
            where = f'{_shown(file.path)}:{line}' if line else _shown(file.path)
            sections = TOP_LEVEL_KEYS - _NAMED_LIKE_OTHERS | {'_base_'}
            near = did_you_mean(name, sections, MISSPELLED_SECTION)
            if near:
                findings.append(Finding('error', where, f'nothing reads {name!r}.{near}', 'correct the name'))
            elif file is files[-1]:
                now = _NOW_CALLED.get(name)
                fix = f'set {now} instead' if now else 'use it in a section, or remove it'
                findings.append(Finding('warning', where, f'nothing reads {name!r}: it has no effect', fix))
    return findings


def _place(error: Exception, files: list[ConfigFile]) -> str:
    """Return the config file and line in which an error occurred."""
    paths = {str(file.path) for file in files}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.abspath(f.filename) in paths]
    if frames:
        return f'{_shown(Path(frames[-1].filename))}:{frames[-1].lineno}'
    return _shown(files[-1].path)


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f'{type(error).__name__}: {error.msg}' + (f': {error.text.strip()}' if error.text else '')
    text = f'{type(error).__name__}: {error}'
    if 'Duplicate key' in text:
        text += '. Keep the section in only one of the _base_ files, or inherit from only one of them.'
    return text


def _shown(path: Path) -> str:
    """Return a path as a person would write it here."""
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else str(path)
