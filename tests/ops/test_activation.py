"""Which module stands behind ``mmcv._ext``, in every order of imports."""

import importlib.util
import pickle
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec

import mmcv
import mmcv.ops
import pytest
import torch
from mmengine.utils.dl_utils import mmcv_full_available

from mdvision import ops
from mdvision.errors import UserError

FILE = '/site-packages/mmcv/_ext.cpython-311-x86_64-linux-gnu.so'


class FakeExtension:
    """A finder and loader of ``mmcv._ext``: absent, failing to load, or loading with one operator."""

    def __init__(self, error=None, absent=False):
        self.error = error
        self.absent = absent

    def find_spec(self, name, path=None, target=None):
        if name != 'mmcv._ext':
            return None
        if self.absent:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
        return ModuleSpec(name, self, origin=FILE)

    def create_module(self, spec):
        if self.error:
            raise self.error

    def exec_module(self, module):
        module.nms = lambda *args: 'compiled'


@pytest.fixture
def install(monkeypatch):
    """Forgets what is behind ``mmcv._ext`` and puts a fake extension there."""

    def install(extension):
        monkeypatch.setattr(ops, '_failure', None)
        monkeypatch.delattr(mmcv, '_ext')
        monkeypatch.delitem(sys.modules, 'mmcv._ext')
        monkeypatch.setattr(sys, 'meta_path', [extension, *sys.meta_path])

    return install


def test_an_absent_extension_is_replaced_without_a_word(install, capsys, torchvision_backend):
    install(FakeExtension(absent=True))
    assert ops.activate() == 'torchvision'
    assert sys.modules['mmcv._ext'] is mmcv._ext is torchvision_backend
    assert capsys.readouterr() == ('', '')
    assert ops.failed_extension() is None


def test_an_extension_that_loads_is_used(install, capsys):
    install(FakeExtension())
    assert ops.activate() == ops.activate() == 'compiled'
    assert mmcv._ext.nms() == 'compiled'
    assert ops.backend_of('nms') == 'compiled'
    assert ops.backend_of('softnms') == 'missing'
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize(
    'error',
    [
        ImportError(f'{FILE}: undefined symbol: _ZN3c10\nmore', path=FILE),
        ImportError('undefined symbol: _ZN3c10'),
        ModuleNotFoundError("undefined symbol: no module 'torch_old'", name='torch_old'),
        OSError('undefined symbol: in a library'),
    ],
    ids=['with path', 'without path', 'missing module', 'os error'],
)
def test_a_broken_extension_gives_one_line_with_file_reason_and_fix(
    install, capsys, torchvision_backend, error
):
    install(FakeExtension(error))
    assert ops.activate() == ops.activate() == 'torchvision'
    assert mmcv._ext is torchvision_backend
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
    assert err.startswith(f'mdvision: {FILE} does not load (undefined symbol: ')
    assert err.endswith(f'{ops.BUILD_COMMAND}\n')
    assert err == f'mdvision: {ops.failed_extension()}\n'


def test_a_file_that_is_no_library_counts_as_absent(monkeypatch, tmp_path, capsys):
    file = tmp_path / f'_ext{EXTENSION_SUFFIXES[0]}'
    file.write_bytes(b'not a shared library')
    monkeypatch.setattr(ops, '_failure', None)
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path), *mmcv.__path__])
    monkeypatch.delattr(mmcv, '_ext')
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert ops.activate() == 'torchvision'
    err = capsys.readouterr().err
    assert err.count('\n') == 1
    assert err.startswith(f'mdvision: {file} does not load (')


def test_both_ways_to_look_for_the_extension_find_the_backend(install):
    install(FakeExtension(absent=True))
    ops.activate()
    assert importlib.util.find_spec('mmcv._ext') is not None
    assert mmcv_full_available()


# Everything that depends on the order of imports needs a fresh interpreter.
HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == 'mmcv._ext':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Hide())
"""


def run(code):
    return subprocess.run([sys.executable, '-c', HIDE + code], capture_output=True, text=True, timeout=100)


def test_mmdet_imported_before_and_a_failed_import_of_its_models_do_no_harm():
    result = run("""
import mmdet
try:
    import mmdet.models
except ModuleNotFoundError as error:
    print('>', error)
from mdvision import ops
print('>', ops.activate())
import mmdet.models
from mmcv.ops import nms
print('>', mmdet.models.FasterRCNN.__name__)
""")
    said = [line for line in result.stdout.splitlines() if line.startswith('>')]  # mmdet logs there too
    assert said == ["> No module named 'mmcv._ext'", '> torchvision', '> FasterRCNN'], result.stderr


def test_every_function_of_the_backend_is_one_that_mmcv_asks_for(torchvision_backend):
    assert set(torchvision_backend.__all__) <= set(ops.op_names())
    assert len(ops.op_names()) > 100


def test_backend_of_tells_what_torchvision_covers(monkeypatch, torchvision_backend):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', torchvision_backend)
    assert ops.backend_of('roi_align_forward') == 'torchvision'
    assert ops.backend_of('carafe_forward') == 'missing'
    assert ops.backend_of('gradients') == 'missing'  # a helper of the module, not an operator


def test_an_operator_that_torchvision_lacks_names_itself_and_the_build_command(torchvision_backend):
    assert hasattr(torchvision_backend, 'carafe_forward')
    with pytest.raises(ops.MissingOpError) as raised:
        mmcv.ops.carafe(torch.ones(1, 4, 2, 2), torch.ones(1, 9, 4, 4), 3, 1, 2)
    assert isinstance(raised.value, NotImplementedError)
    assert isinstance(raised.value, UserError)
    assert "'carafe_forward'" in str(raised.value)
    assert 'pip install --no-build-isolation' in str(raised.value)
    # as a data loader's worker process hands it on
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize('name', ['__path__', '__wrapped__', '_private'])
def test_underscored_names_are_no_operators(torchvision_backend, name):
    with pytest.raises(AttributeError, match=name):
        getattr(torchvision_backend, name)


def test_the_compiler_versions_say_that_nothing_was_compiled(torchvision_backend):
    assert torchvision_backend.get_compiler_version() == 'none (torchvision backend)'
    assert torchvision_backend.get_compiling_cuda_version() == 'none (torchvision backend)'
