"""Bad input to the tools: one readable message with the fix, a status that is not 0, no traceback."""

import subprocess
import time
from pathlib import Path

import pytest
import torch

from mdvision.datasets import make_mini_voc
from tests.running import ROOT, start_tool

MINI = 'configs/emanet/faster_rcnn_minivoc.py'


def run(tool: str, *args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run a tool as a user does; asserts what holds for every fault."""
    started = time.time()
    result = start_tool(tool, *args, cwd=cwd)
    assert result.returncode == 1, result.stdout + result.stderr
    assert 'Traceback' not in result.stderr + result.stdout
    assert result.stderr.strip().startswith('Error: ')
    # 20 s alone on two cores; the tests share them.
    assert time.time() - started < 60
    return result


@pytest.fixture(scope='module')
def mini_voc(tmp_path_factory) -> Path:
    return make_mini_voc(tmp_path_factory.mktemp('data') / 'mini_voc', num_train=4, num_val=2, size=(96, 72))


def on(data: Path, *more: str) -> list[str]:
    """Overrides that let the plain VOC reader read a folder of four and two images."""
    options = [f'{s}_dataloader.dataset.data_root={data}' for s in ('train', 'val', 'test')]
    options += [f'{s}_dataloader.dataset.type=mdvision.VOCDataset' for s in ('train', 'val', 'test')]
    return ['--cfg-options', *options, *more]


def test_a_config_that_does_not_exist():
    error = run('train.py', 'configs/emanet/faster_rcn_voc.py').stderr
    assert 'configs/emanet/faster_rcn_voc.py does not exist' in error
    assert "Did you mean 'configs/emanet/faster_rcnn_voc.py'" in error


def test_a_misspelt_override():
    error = run('train.py', MINI, '--cfg-options', 'optim_wraper.optimizer.lr=1').stderr
    assert "no such key. Did you mean 'optim_wrapper'" in error


def test_voc_is_not_there(tmp_path):
    error = run('train.py', ROOT / 'configs/emanet/faster_rcnn_voc.py', cwd=tmp_path).stderr
    assert 'data/VOCdevkit/VOC2007' in error
    assert 'host.robots.ox.ac.uk/pascal/VOC' in error
    assert 'faster_rcnn_minivoc.py' in error


def test_data_to_convert_with_faults(tmp_path):
    """Every fault is in the message, and nothing is written."""
    source = tmp_path / 'labels.csv'
    source.write_text('filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,1,x,9\nb.jpg,,1,1,9,9\n')
    error = run('convert_data.py', source, tmp_path / 'out').stderr
    assert "labels.csv line 2: xmax: expected a finite number, got 'x'" in error
    assert 'labels.csv line 3: expected a class, got none' in error
    assert 'images missing (2)' in error
    assert [path.name for path in tmp_path.iterdir()] == ['labels.csv']


def test_a_checkpoint_that_does_not_exist(tmp_path):
    error = run('test.py', MINI, tmp_path / 'epoch_1.pth').stderr
    assert 'epoch_1.pth does not exist' in error


def test_a_checkpoint_cut_short(tmp_path):
    file = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1000))), file)
    file.write_bytes(file.read_bytes()[:-300])
    error = run('test.py', MINI, file).stderr
    assert 'cannot be read' in error
    assert 'truncated' in error


def test_a_checkpoint_of_another_model(tmp_path, mini_voc):
    file = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(8, 3, 3, 3)}), file)
    error = run('test.py', MINI, file, '--work-dir', tmp_path, *on(mini_voc)).stderr
    assert 'belongs to another model: 0 of ' in error
    assert 'tensors matched' in error


def test_starting_from_a_checkpoint_that_would_be_moved_away(tmp_path, mini_voc):
    options = on(mini_voc, f'load_from={tmp_path / "epoch_1.pth"}')
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'epoch_1.pth')
    error = run('train.py', MINI, '--work-dir', tmp_path, *options).stderr
    assert 'is in the work directory of this run' in error
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_a_class_list_that_does_not_fit(tmp_path, mini_voc):
    for xml in (mini_voc / 'Annotations').glob('train*'):
        xml.write_text(xml.read_text().replace('>cross<', '>Cross<').replace('>circle<', '>ring<'))
    error = run('train.py', MINI, '--work-dir', tmp_path, *on(mini_voc)).stderr
    assert 'Cross' in error or 'ring' in error
    assert 'Annotations/train_' in error or 'classes' in error
    for xml in (mini_voc / 'Annotations').glob('train*'):
        xml.write_text(xml.read_text().replace('>Cross<', '>cross<').replace('>ring<', '>circle<'))


def test_a_broken_image(tmp_path):
    data = make_mini_voc(tmp_path / 'data', num_train=4, num_val=2, size=(96, 72))
    image = sorted((data / 'JPEGImages').glob('train*'))[2]
    image.write_bytes(image.read_bytes()[:1000])
    error = run('train.py', MINI, '--work-dir', tmp_path / 'run', *on(data)).stderr
    assert image.name in error


def test_an_empty_split(tmp_path):
    data = make_mini_voc(tmp_path / 'data', num_train=4, num_val=2, size=(96, 72))
    (data / 'ImageSets/Main/val.txt').write_text('\n\n')
    error = run('train.py', MINI, '--work-dir', tmp_path / 'run', *on(data)).stderr
    assert 'val.txt' in error
    assert 'empty' in error


@pytest.mark.fault('3.8')
def test_more_classes_than_the_head(tmp_path, mini_voc):
    options = on(mini_voc, 'model.roi_head.bbox_head.num_classes=4')
    error = run('train.py', MINI, '--work-dir', tmp_path, *options).stderr
    assert 'model.roi_head.bbox_head.num_classes is 4, but the training set has 3 classes' in error


def test_a_class_that_no_registry_has(tmp_path, mini_voc):
    options = on(mini_voc, 'model.backbone.type=mdvision.EMANett')
    error = run('train.py', MINI, '--work-dir', tmp_path, *options).stderr
    assert "model.backbone.type: no class 'mdvision.EMANett' is registered" in error
    assert "Did you mean 'EMANet'" in error


def test_a_gpu_that_is_not_there():
    assert 'sees no CUDA device' in run('train.py', MINI, '--device', 'cuda').stderr


def test_debug_shows_the_traceback():
    result = start_tool('train.py', 'nothing.py', '--debug')
    assert result.returncode == 1
    assert 'Traceback' in result.stderr
