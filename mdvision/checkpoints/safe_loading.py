"""No checkpoint executes code: replaces mmengine's loaders, and refuses configs in checkpoints.

mmengine asks :class:`CheckpointLoader` for every file, by the prefix of its name; all prefixes lead here. If
they cannot be replaced as expected, an error is raised: better no mdvision than one that executes
files.
"""

import functools
import os
import tempfile
import urllib.error
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import mmengine.runner.checkpoint as host
import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank
from mmengine.fileio import get_file_backend

from mdvision.errors import UserError, did_you_mean
from mdvision.upstream import UnknownUpstreamError, replace_method

from .reading import read_file
from .unpickling import code_allowed, origin_of_text

__all__ = ['install']


def install() -> None:
    """Make mmengine, and with it mmdet and mmpretrain, read checkpoints without executing anything.

    Raises:
        UnknownUpstreamError: this mmengine has an unexpected structure.
    """
    schemes = getattr(host.CheckpointLoader, '_schemes', None)
    if not schemes or '' not in schemes:
        raise UnknownUpstreamError('CheckpointLoader has no table of loaders')
    for prefix in list(schemes):
        host.CheckpointLoader.register_scheme(prefix, _LOADERS.get(prefix, load_from_refused), force=True)
    ours = {*_LOADERS.values(), load_from_refused}
    if not set(host.CheckpointLoader._schemes.values()) <= ours:
        raise UnknownUpstreamError('the loaders of CheckpointLoader could not be replaced')
    if not getattr(getattr(Config, 'fromstring', None), 'refuses_checkpoints', False):
        replace_method(Config, 'fromstring', _refusing, ('cfg_str', 'file_format'))


def _refusing(parse: Callable[[str, str], Config]) -> Callable[[str, str], Config]:
    """Refuse configs from checkpoints: a config is Python code, and names what is built."""

    @functools.wraps(parse)
    def fromstring(cfg_str: str, file_format: str) -> Config:
        origin = origin_of_text(cfg_str)
        if origin and not code_allowed():
            raise UserError(
                f'The config in {origin} is a program, which is not executed. Pass the config file that it '
                'was trained with (it is in its work directory), as in DetInferencer(model=CONFIG, '
                'weights=...). '
                'If you trust the checkpoint as much as a program, call mdvision.allow_code_in_checkpoints() '
                'first.'
            )
        return parse(cfg_str, file_format)

    fromstring.refuses_checkpoints = True
    return fromstring


# mmengine prints the last part of these names.
def load_from_local(filename: str, map_location=None) -> object:
    """Load a file on this machine."""
    return read_file(os.path.expanduser(filename), map_location)


def load_from_http(filename: str, map_location=None) -> object:
    """Load a file from a web server, via torch.hub's cache; only one process per machine downloads it."""
    file = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(filename).path).name
    if get_rank() == 0 and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(file), progress=False)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise UserError(
                f'{filename} could not be downloaded ({error}). Download it in another way and put it at '
                f'{file}, or name a local file.'
            ) from error
    barrier()
    try:
        return read_file(str(file), map_location)
    except UserError as error:
        raise UserError(
            f'{error} It is the cached copy of {filename}; delete it to download it again.'
        ) from error


def load_from_torchvision(filename: str, map_location=None) -> object:
    """Load torchvision's weights by a name such as resnet50."""
    return load_from_http(_look_up(filename, host.get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location=None) -> object:
    """Load a model from OpenMMLab's old model zoo, or from the user's ``open_mmlab.json``."""
    newer = host.get_deprecated_model_names()
    prefix, name = filename.split('://', 1)
    url = _look_up(f'{prefix}://{newer.get(name, name)}', host.get_external_models())
    if url.startswith(('http://', 'https://')):
        return load_from_http(url, map_location)
    return load_from_local(os.path.join(host._get_mmengine_home(), url), map_location)


def load_from_mmcls(filename: str, map_location=None) -> object:
    """Load the backbone of an OpenMMLab classifier."""
    checkpoint = load_from_http(_look_up(filename, host.get_mmcls_models()), map_location)
    return host._process_mmcls_checkpoint(checkpoint)


def load_from_ceph(filename: str, map_location=None) -> object:
    """Load from an object store, through mmengine's client for it."""
    content = get_file_backend(filename, backend_args=dict(backend='petrel')).get(filename)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'checkpoint.pth'
        file.write_bytes(content)
        return read_file(str(file), map_location)


def load_from_refused(filename: str, map_location=None) -> object:
    """Refuse an address that mdvision cannot load safely."""
    raise UserError(
        f'{filename}: mdvision has no way to read it without executing what is in it. Download the file, and '
        'name the local copy.'
    )


def _look_up(filename: str, urls: dict[str, str]) -> str:
    name = filename.split('://', 1)[1]
    if name not in urls:
        raise UserError(f'{filename}: there is no such model.{did_you_mean(name, set(urls))}')
    return urls[name]


_LOADERS = {
    '': load_from_local,
    'http://': load_from_http,
    'https://': load_from_http,
    'torchvision://': load_from_torchvision,
    'modelzoo://': load_from_torchvision,
    'open-mmlab://': load_from_openmmlab,
    'openmmlab://': load_from_openmmlab,
    'mmcls://': load_from_mmcls,
    r'(\S+\:)?s3://': load_from_ceph,
    r'(\S+\:)?petrel://': load_from_ceph,
}
