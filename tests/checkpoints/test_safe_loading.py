"""No checkpoint executes code: every way of loading one is found, and gets files that would leave a mark."""

import ast
import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import mmengine.runner
import mmengine.runner.checkpoint as host
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

import mdvision
from mdvision import UserError
from mdvision.checkpoints import safe_loading, unpickling
from mdvision.checkpoints.reading import read_checkpoint
from tests.engine.toy import make_runner
from tests.running import ENVIRONMENT, ROOT

# What reads a pickle or parses a text as a config, by the names under which it is called.
LOADERS = {
    'torch.load', 'torch.hub.load', 'torch.hub.load_state_dict_from_url', 'torch.jit.load', 'load_url',
    'load_from_http', '_safe_torch_load', 'load_state_dict_from_url', '_legacy_zip_load', '_load_checkpoint',
    '_load_checkpoint_with_prefix', 'load_checkpoint', 'CheckpointLoader.load_checkpoint', 'unpickle',
    'Config.fromstring', 'mmengine.Config.fromstring', 'pickle.load', 'pickle.loads',
}  # fmt: skip

# Every file that calls one of them. A new one makes the test fail: look at what it reads, and feed it below.
ASKS_MMENGINE = [
    'mmengine/_strategy/colossalai.py', 'mmengine/_strategy/single_device.py',
    'mmengine/hooks/checkpoint_hook.py', 'mmengine/hub/hub.py', 'mmengine/infer/infer.py',
    'mmengine/model/weight_init.py', 'mmengine/runner/runner.py', 'mmcv/cnn/alexnet.py',
    'mmcv/cnn/resnet.py', 'mmcv/cnn/vgg.py', 'mmdet/apis/inference.py',
    'mmdet/models/backbones/detectors_resnet.py', 'mmdet/models/backbones/pvt.py',
    'mmdet/models/backbones/swin.py', 'mmdet/models/detectors/kd_one_stage.py',
    'mmdet/models/detectors/lad.py', 'mmdet/models/task_modules/tracking/aflink.py',
    'mmdet/utils/benchmark.py', 'mmpretrain/apis/base.py', 'mmpretrain/apis/model.py',
    'mmpretrain/models/multimodal/flamingo/flamingo.py', 'mmpretrain/models/multimodal/llava/llava.py',
    'mmpretrain/models/multimodal/minigpt4/minigpt4.py', 'mmpretrain/models/multimodal/otter/otter.py',
    'mmpretrain/models/selfsup/milan.py', 'mdvision/checkpoints/reading.py',
]  # fmt: skip
PARSES_CONFIG = [
    'mmengine/infer/infer.py', 'mmengine/runner/_flexible_runner.py', 'mmengine/runner/runner.py',
]  # fmt: skip
# torch.load as it is, which executes nothing since torch 2.6.
ASKS_TORCH = [
    'mmpretrain/apis/multimodal_retrieval.py', 'mmpretrain/engine/hooks/swav_hook.py',
    'mmpretrain/models/multimodal/ram/gradio_demo.py', 'mmpretrain/models/multimodal/ram/openset_utils.py',
    'mmpretrain/models/retrievers/image2image.py', 'mmpretrain/models/utils/vector_quantizer.py',
]  # fmt: skip
IS_THE_LOADER = [
    'mmengine/runner/checkpoint.py', 'mdvision/checkpoints/safe_loading.py',
    'mdvision/checkpoints/unpickling.py',
]  # fmt: skip
NOT_FOR_THIS_TORCH = ['mmengine/utils/dl_utils/hub.py']
# Files and messages that they write themselves, data sets, and a list of names.
NO_CHECKPOINT = [
    'mmengine/dataset/base_dataset.py', 'mmengine/dist/dist.py',
    'mmengine/fileio/handlers/pickle_handler.py', 'mmdet/evaluation/metrics/base_video_metric.py',
    'mmdet/utils/dist_utils.py', 'mmpretrain/datasets/cifar.py', 'mmpretrain/models/multimodal/ram/ram.py',
]  # fmt: skip


def package(name: str) -> Path:
    return Path(importlib.util.find_spec(name).origin).parent


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in LOADERS
    ]


@functools.cache
def census() -> dict[str, list[ast.Call]]:
    """The calls of LOADERS in each file of the packages."""
    return {
        f'{name}/{path.relative_to(package(name)).as_posix()}': found
        for name in ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mdvision')
        for path in sorted(package(name).rglob('*.py'))
        if '.mim' not in path.parts and (found := calls(path))
    }


@pytest.mark.fault('D3', '6.1', '6.3')
def test_every_caller_of_a_loader_is_known():
    known = [ASKS_MMENGINE, PARSES_CONFIG, ASKS_TORCH, IS_THE_LOADER, NOT_FOR_THIS_TORCH, NO_CHECKPOINT]
    assert set(census()) == {file for files in known for file in files}


@pytest.mark.parametrize('file', ASKS_MMENGINE)
def test_they_ask_the_loaders_of_mmengine(file):
    """Their ``load_checkpoint`` is that of mmengine, or a method that reaches it."""
    name, _, inside = file.partition('/')
    tree = ast.parse((package(name) / inside).read_text(encoding='utf-8'))
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or '').split('.')[-1] in ('runner', 'checkpoint', 'unpickling')
        for alias in node.names
    ]
    used = {ast.unparse(call.func).split('.')[0] for call in census()[file]} - {'Config', 'mmengine'}
    assert used
    assert used <= set(imported)


@pytest.mark.parametrize('file', ASKS_TORCH)
def test_torch_is_asked_as_it_is(file):
    for call in census()[file]:
        assert ast.unparse(call.func) == 'torch.load'
        assert {keyword.arg for keyword in call.keywords} <= {'map_location'}


class Program:
    """Unpickled as usual, it makes a folder."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def marker(tmp_path) -> Path:
    """What code in a file would make; fails the test where it did."""
    path = tmp_path / 'executed'
    yield path
    assert not path.exists(), 'code in a checkpoint was executed'


@pytest.fixture
def program(tmp_path, marker) -> Path:
    """A checkpoint with code in the pickle."""
    path = tmp_path / 'program.pth'
    state_dict = {'linear.weight': torch.zeros(1, 3), 'linear.bias': torch.zeros(1)}
    torch.save(dict(state_dict=state_dict, meta=dict(epoch=1, iter=4), extra=Program(marker)), path)
    return path


@pytest.fixture
def server(tmp_path):
    """An address that serves the folder of the test."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{serving.server_port}'
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing is fetched into the cache of the user."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))


REFUSED = 'asks for posix.mkdir. Nothing was executed'


@MODELS.register_module(force=True)
class Net(BaseModule):
    """The smallest thing that a host can build."""

    def __init__(self, backbone=None, init_cfg=None, data_preprocessor=None):
        super().__init__(init_cfg)
        self.linear = nn.Linear(3, 1)


def config(**more) -> Config:
    return Config(dict(model=dict(type='Net', backbone=dict()), **more))


def address_of(prefix: str, program: Path, server: str, monkeypatch) -> str:
    """A name that mmengine's loader of this prefix fetches the file by."""
    url = f'{server}/{program.name}'
    for table in ('get_torchvision_models', 'get_mmcls_models'):
        monkeypatch.setattr(host, table, lambda: {'name': url})
    monkeypatch.setattr(host, 'get_external_models', lambda: {'name': url, 'local': program.name})
    backend = SimpleNamespace(get=lambda filename: program.read_bytes())
    for module in (host, safe_loading):
        monkeypatch.setattr(module, 'get_file_backend', lambda *args, **kwargs: backend)
    if prefix.startswith('http'):
        return url
    return str(program) if prefix == '' else prefix.replace(r'(\S+\:)?', '') + 'name'


@pytest.mark.fault('D3', '6.1', 'd2')
@pytest.mark.parametrize('prefix', sorted(host.CheckpointLoader._schemes))
def test_no_beginning_of_a_name_leads_to_an_unsafe_loader(prefix, program, server, monkeypatch):
    address = address_of(prefix, program, server, monkeypatch)
    expected = 'no way to read it without executing' if prefix == 'pavi://' else REFUSED
    with pytest.raises(UserError, match=expected) as error:
        host.load_checkpoint(Net(), address)
    assert 'weights_only' not in str(error.value)
    if prefix == 'http://':
        assert f'It is the cached copy of {address}' in str(error.value)


def test_a_local_file_of_the_users_zoo(program, server, monkeypatch):
    address_of('', program, server, monkeypatch)
    with pytest.raises(UserError, match=REFUSED):
        host.load_checkpoint(Net(), 'open-mmlab://local')


def init_detector(path: str):
    from mmdet.apis import init_detector

    init_detector(config(), path, device='cpu')


def det_inferencer(path: str):
    from mmdet.apis import DetInferencer

    DetInferencer(weights=path, device='cpu')


def get_model(path: str):
    import mmpretrain

    mmpretrain.get_model(config(), pretrained=path)


def classification_inferencer(path: str):
    from mmpretrain import ImageClassificationInferencer

    ImageClassificationInferencer(config(), pretrained=path, device='cpu')


def inferencer_of_a_built_model(path: str):
    from mmengine.model import BaseModel
    from mmpretrain import ImageClassificationInferencer

    class Built(BaseModel):
        def forward(self):
            pass

    ImageClassificationInferencer(Built(), pretrained=path)


def init_cfg(path: str):
    Net(init_cfg=dict(type='Pretrained', checkpoint=path)).init_weights()


def init_cfg_with_prefix(path: str):
    Net(init_cfg=dict(type='Pretrained', checkpoint=path, prefix='linear')).init_weights()


def mmcv_resnet(path: str):
    from mmcv.cnn import ResNet

    ResNet(18).init_weights(path)


def mmcv_vgg(path: str):
    from mmcv.cnn import VGG

    VGG(11).init_weights(path)


def swin(path: str):
    from mmdet.models import SwinTransformer

    start = Config(dict(type='Pretrained', checkpoint=path))
    SwinTransformer(
        depths=(1,), num_heads=(3,), strides=(4,), out_indices=(0,), init_cfg=start
    ).init_weights()


def pvt(path: str):
    from mmdet.models import PyramidVisionTransformer

    PyramidVisionTransformer(init_cfg=Config(dict(type='Pretrained', checkpoint=path))).init_weights()


def published(path: str):
    from mmengine.hooks import CheckpointHook

    CheckpointHook(published_keys=['state_dict'])._publish_model(None, path)


def codebook(path: str):
    from mmpretrain.models.utils.vector_quantizer import EmbeddingEMA

    EmbeddingEMA(2, 2, codebook_init_path=path)


def prototypes(path: str):
    from mmpretrain.models import ImageToImageRetriever

    ImageToImageRetriever._get_prototype_vecs_from_path(None, path)


def swav_queue(path: str):
    from mmpretrain.engine.hooks import SwAVHook

    Path(path).rename(Path(path).with_name('queue.pth'))
    hook = SwAVHook(batch_size=1, epoch_queue_starts=1, crops_for_assign=[0], feat_dim=1, queue_length=1)
    hook.before_run(SimpleNamespace(work_dir=str(Path(path).parent)))


def our_runner(path: str, **more):
    make_runner(Path(path).parent / 'run', resume=path, **more).train()


def our_runner_from_weights(path: str):
    runner = make_runner(Path(path).parent / 'run')
    runner._load_from = path
    runner.train()


def our_backbone_from(path: str):
    make_runner(Path(path).parent / 'run', backbone_from=path).train()


def our_init_from(path: str):
    make_runner(Path(path).parent / 'run', init_from=path).train()


def host_runner(path: str):
    cfg = make_runner(Path(path).parent / 'run').cfg
    mmengine.runner.Runner.from_cfg(cfg).resume(path)


def flexible_runner(path: str):
    cfg = make_runner(Path(path).parent / 'run').cfg
    cfg.update(load_from=path, resume=True, experiment_name='flexible', env_cfg=dict())
    mmengine.runner.FlexibleRunner.from_cfg(cfg).train()


WAYS = [
    init_detector, det_inferencer, get_model, classification_inferencer, inferencer_of_a_built_model,
    init_cfg, init_cfg_with_prefix, mmcv_resnet, mmcv_vgg, swin, pvt, published, our_runner,
    our_runner_from_weights, our_backbone_from, our_init_from, host_runner, flexible_runner, read_checkpoint,
]  # fmt: skip


@pytest.mark.fault('D3', '6.1', 'd2')
@pytest.mark.parametrize('way', WAYS)
def test_code_in_a_pickle_is_not_executed(way, program):
    with pytest.raises(UserError, match=REFUSED) as error:
        way(str(program))
    text = str(error.value)
    assert str(program) in text
    assert 'weights_only' not in text
    assert '\x1b' not in text


@pytest.mark.fault('6.1', 'd2')
@pytest.mark.parametrize('way', [codebook, prototypes, swav_queue, torch.load])
def test_what_asks_torch_executes_nothing(way, program, monkeypatch):
    monkeypatch.delenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', raising=False)
    with pytest.raises(Exception, match='Weights only load failed'):
        way(str(program))


@pytest.fixture
def text_program(tmp_path, marker) -> Path:
    """A checkpoint of tensors and texts; the texts are programs."""
    path = tmp_path / 'text.pth'
    runner = make_runner(tmp_path / 'genuine', epochs=1)
    runner.train()
    checkpoint = torch.load(tmp_path / 'genuine' / 'epoch_1.pth', weights_only=False)
    text = f'import os\nos.mkdir({str(marker)!r})\nmodel = dict(type="Net")\n'
    checkpoint['meta'].update(cfg=text, config=text)
    checkpoint['message_hub']['runtime_info']['cfg'] = text
    torch.save(checkpoint, path)
    return path


@pytest.mark.fault('6.2', '6.3', 'd2')
@pytest.mark.parametrize('way', [det_inferencer, host_runner, flexible_runner])
def test_the_config_in_a_checkpoint_is_not_executed(way, text_program):
    with pytest.raises(UserError, match=r'The config in .*text\.pth is a program, which is not executed'):
        way(str(text_program))


@pytest.mark.fault('6.3')
def test_nor_is_the_one_in_meta_alone(text_program):
    checkpoint = torch.load(text_program, weights_only=False)
    del checkpoint['message_hub']
    torch.save(checkpoint, text_program)
    with pytest.raises(UserError, match=r'The config in .*text\.pth is a program'):
        det_inferencer(str(text_program))


@pytest.mark.fault('6.2')
def test_our_runner_goes_on_from_it_and_drops_the_text(text_program):
    our_runner(str(text_program), epochs=2)
    assert (text_program.parent / 'run' / 'epoch_2.pth').is_file()


def test_a_config_of_the_user_is_parsed_as_ever():
    assert Config.fromstring('a = 1 + 1', '.py').a == 2


@pytest.mark.fault('6.4')
def test_getattr_reaches_nothing_but_statistics(tmp_path, marker):
    """mmengine allows ``getattr``, with which a file reaches any attribute of what it may name."""

    class Reach:
        def __reduce__(self):
            return getattr, (unpickling.HistoryBuffer, '__init__')

    path = tmp_path / 'getattr.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1)), extra=Reach()), path)
    with pytest.raises(UserError, match=r'asks for .*HistoryBuffer.*__init__, which no genuine'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('way', ['pickle', 'text'])
def test_who_trusts_a_file_says_so_once_and_is_warned(way, program, text_program, marker, monkeypatch):
    monkeypatch.setattr(unpickling, '_code_allowed', False)
    with pytest.warns(UserWarning, match='executes the code in it'):
        mdvision.allow_code_in_checkpoints()
    if way == 'pickle':
        host.load_checkpoint(Net(), str(program))
    else:
        Config.fromstring(torch.load(text_program, weights_only=False)['meta']['cfg'], '.py')
    marker.rmdir()  # it was there: these files do execute code


def test_a_way_to_load_that_is_new_is_refused(program, monkeypatch):
    def load_from_somewhere(filename, map_location=None):
        return torch.load(program, weights_only=False)

    monkeypatch.setattr(host.CheckpointLoader, '_schemes', dict(host.CheckpointLoader._schemes))
    host.CheckpointLoader.register_scheme('new://', load_from_somewhere)
    safe_loading.install()
    with pytest.raises(UserError, match='new://x: mdvision has no way to read it without executing'):
        host.load_checkpoint(Net(), 'new://x')


@pytest.mark.parametrize('what', ['no table', 'other arguments'])
def test_an_mmengine_of_another_make_is_an_import_error(what, monkeypatch):
    if what == 'no table':
        monkeypatch.delattr(host.CheckpointLoader, '_schemes')
    else:
        monkeypatch.setattr(Config, 'fromstring', staticmethod(lambda text: None))
    with pytest.raises(ImportError, match='does not know this version'):
        safe_loading.install()


def test_a_name_that_no_zoo_has(monkeypatch):
    monkeypatch.setattr(host, 'get_torchvision_models', lambda: {'resnet50': 'http://127.0.0.1/'})
    with pytest.raises(UserError, match=r"resnet5: there is no such model\. Did you mean 'resnet50'"):
        host.load_checkpoint(Net(), 'torchvision://resnet5')


@pytest.mark.fault('6.14')
def test_an_address_that_does_not_answer(monkeypatch):
    with pytest.raises(
        UserError, match=r'127\.0\.0\.1:9/x\.pth could not be downloaded .* put it at .*x\.pth'
    ):
        init_cfg('http://127.0.0.1:9/x.pth')


def test_genuine_files_are_loaded_from_an_address(tmp_path, server):
    net = Net()
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    other = Net(init_cfg=dict(type='Pretrained', checkpoint=f'{server}/net.pth'))
    other.init_weights()
    assert torch.equal(other.linear.weight, net.linear.weight)
    assert set(read_checkpoint(f'{server}/net.pth')['state_dict']) == set(net.state_dict())


def test_importing_mdvision_stays_light():
    """Safe loading is arranged without the hosts that it protects."""
    program = 'import sys, mdvision; print(sorted({"mmdet", "mmpretrain", "matplotlib"} & set(sys.modules)))'
    result = subprocess.run(
        [sys.executable, '-c', program],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.strip() == '[]', result.stdout + result.stderr
