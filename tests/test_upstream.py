"""Every patch and private name is in the lists of tests/upstream.py, and is what it was in the libraries."""

import inspect
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mdvision.upstream import UnknownUpstreamError, expect, replace_method, restore_method
from tests.running import ENVIRONMENT, ROOT
from tests.upstream import (
    HERE,
    ON_IMPORT,
    PAGE,
    PATCHES,
    PRIVATE,
    attributes_set,
    patches,
    private_uses,
    resolve,
    with_tables,
)


def test_every_patch_is_in_the_list():
    assert set(patches()) == {one.written for one in PATCHES}


@pytest.mark.parametrize('patch', PATCHES, ids=lambda patch: patch.target)
def test_what_is_replaced_is_there(patch):
    target = resolve(patch.target)
    if patch.takes is not None:
        assert tuple(inspect.signature(target).parameters) == patch.takes
    file, _, test = patch.test.partition('::')
    assert f'def {test}' in (HERE / file).read_text(encoding='utf-8')


def test_every_private_name_is_in_the_list():
    listed = [name for one in PRIVATE for name in one.names]
    assert len(listed) == len(set(listed))
    assert set(private_uses()) == set(listed)


@pytest.mark.parametrize(
    ('of', 'name'), [(one.of, name) for one in PRIVATE for name in one.names], ids=lambda text: text
)
def test_private_names_are_there(of, name):
    owner = resolve(of)
    set_later = attributes_set(owner) if inspect.isclass(owner) else ()
    inherited = [n for base in getattr(owner, '__mro__', ()) for n in attributes_set(base)]
    assert hasattr(owner, name) or name in set_later or name in inherited


def test_the_page_has_the_tables_as_they_are():
    page = PAGE.read_text(encoding='utf-8')
    assert with_tables(page) == page, 'python -m tests.upstream writes them'


STATE = """
import importlib, signal, sys, threading, types, warnings

PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'torch', 'torchvision', 'numpy', 'PIL', 'cv2')
MODULES = ('mmengine.runner', 'mmengine.hooks', 'mmengine.visualization', 'mmcv', 'mmdet', 'torchvision.ops',
           'torch.utils.data', 'numpy', 'PIL.Image', 'cv2')

def of(owner, name):
    for key, value in list(vars(owner).items()):
        if not key.startswith('__'):
            yield f'{name}.{key}', dict(value) if isinstance(value, dict) else value

def state():
    found = {'sys.' + key: list(getattr(sys, key)) for key in ('path', 'meta_path', 'path_hooks')}
    found |= {'sys.excepthook': sys.excepthook, 'threading.excepthook': threading.excepthook}
    found |= {f'signal {number}': signal.getsignal(number) for number in signal.valid_signals()}
    found |= {'warnings.filters': list(warnings.filters)}
    for name, module in list(sys.modules.items()):
        if name.partition('.')[0] in PACKAGES and isinstance(module, types.ModuleType):
            for key, value in of(module, name):
                found[key] = value
                if isinstance(value, type) and value.__module__ == name:
                    found |= dict(of(value, key))
    return found

def same(one, other):
    return one is other or (isinstance(one, list | dict) and repr(one) == repr(other))

for name in MODULES:
    importlib.import_module(name)
warnings.simplefilter('ignore')
before = state()
known = set(sys.modules)
import mdvision
after = state()
for name, value in before.items():
    if name not in after or not same(value, after[name]):
        print('changed', name)
for name in after.keys() - before.keys():
    if name.rpartition('.')[0] in known and name not in sys.modules or name == 'mmcv._ext':
        print('changed', name)
"""


def test_importing_mdvision_changes_nothing_else():
    run = subprocess.run(
        [sys.executable, '-c', STATE], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    listed = {
        one.target.replace('config.Config', 'config.config.Config')
        for one in PATCHES
        if one.until == ON_IMPORT
    }
    changed = {
        line.removeprefix('changed ') for line in run.stdout.splitlines() if line.startswith('changed ')
    }
    # register_scheme, which is public, writes the table of loaders
    loaders = 'mmengine.runner.checkpoint.CheckpointLoader._schemes'
    assert changed - {loaders} <= listed
    assert changed >= {loaders, *listed} - {'sys.modules', 'mmcv._ext'}


class Library:
    @staticmethod
    def parse(text: str) -> str:
        return text

    def run(self, steps: int) -> int:
        return steps


def test_a_method_is_replaced_in_an_object_and_restored():
    one, other = Library(), Library()
    replace_method(one, 'run', lambda run: lambda steps: run(steps) + 1, ('steps',))
    assert (one.run(1), other.run(1)) == (2, 1)
    restore_method(one, 'run')
    assert one.run(1) == 1


def test_a_static_method_stays_one(monkeypatch):
    monkeypatch.setattr(Library, 'parse', staticmethod(Library.parse))
    replace_method(Library, 'parse', lambda parse: lambda text: parse(text) * 2)
    assert Library.parse('a') == Library().parse('a') == 'aa'


@pytest.mark.parametrize(
    ('name', 'parameters', 'message'),
    [
        ('walk', None, 'Library has no method walk'),
        ('run', ('iterations',), r'Library.run takes \(steps\), expected \(iterations\)'),
    ],
)
def test_a_library_of_another_make_is_an_error(name, parameters, message):
    library = Library()
    with pytest.raises(UnknownUpstreamError, match=message):
        replace_method(library, name, lambda method: method, parameters)
    assert vars(library) == {}


def test_what_is_overridden_must_be_there():
    expect(Library, 'run')
    with pytest.raises(UnknownUpstreamError, match=r'SimpleNamespace has no _walk\. Install the versions in'):
        expect(SimpleNamespace(_run=1), '_run', '_walk')
