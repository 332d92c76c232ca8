"""tools/infer.py: what it prints and writes, and its messages."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mdvision.work_dir.model_file import describe, write_model
from tests.running import ROOT, run_tool, start_tool

CLASSES = ('cat', 'dog', 'owl')


@pytest.fixture(scope='module')
def classifier(tmp_path_factory) -> Path:
    """The model file of a tiny classifier with random weights."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    from mdvision.config.fill import fill_config

    cfg = Config.fromfile(ROOT / 'configs/image_folder/resnet18.py')
    cfg.model.backbone.update(stage_blocks=(1, 1, 1, 1), base_channels=8)
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = 3
    cfg.train_dataloader.dataset.classes = CLASSES
    fill_config(cfg)
    folder = tmp_path_factory.mktemp('run') / 'animals'
    folder.mkdir()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    write_model(folder, describe(cfg, CLASSES, 'animals'), model.state_dict())
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        cv2.imwrite(str(folder / f'{number}.png'), rng.integers(0, 256, (50, 60, 3), dtype=np.uint8))
    return folder


def refused(*command) -> str:
    result = start_tool('infer.py', *command)
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout + result.stderr
    assert result.stderr.strip().startswith('Error: ')
    return result.stderr


def test_a_folder_is_predicted_and_written(classifier, pictures, tmp_path):
    out = tmp_path / 'out'
    printed = run_tool('infer.py', classifier, pictures, '--out', out, '--save', 'json', 'csv', '--top', '2')
    assert f'{pictures / "0.png"}: ' in printed
    assert '3 images in' in printed
    content = json.loads((out / 'predictions.json').read_text())
    assert content['classes'] == list(CLASSES)
    assert [Path(one['source']).name for one in content['images']] == ['0.png', '1.png', '2.png']
    assert all(len(one['top']) == 2 for one in content['images'])
    rows = list(csv.DictReader((out / 'predictions.csv').open()))
    assert [row['rank'] for row in rows] == ['1', '2'] * 3
    assert float(rows[0]['score']) == pytest.approx(content['images'][0]['top'][0]['score'], abs=1e-6)
    assert len(list((out / 'images').iterdir())) == 3


def test_what_cannot_be_read_fails_the_command_after_the_rest(classifier, pictures, tmp_path):
    (pictures / 'text.jpg').write_text('no picture')
    error = refused(classifier, pictures, '--out', tmp_path / 'out')
    assert '1 could not be read:' in error
    assert 'text.jpg: ' in error
    assert len(json.loads((tmp_path / 'out' / 'predictions.json').read_text())['images']) == 3


def test_messages(classifier, pictures, tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'mine.txt').write_text('')
    (tmp_path / 'file').write_text('')
    half = Path(shutil.copytree(classifier, tmp_path / 'half'))
    (half / 'model.safetensors').unlink()
    for command, message in [
        ((tmp_path / 'nothing.pth', pictures), 'There is no model file'),
        ((half, pictures), 'model.safetensors is missing'),
        ((classifier, tmp_path / 'nothing'), 'There is no file or folder'),
        ((classifier, '42'), 'Camera 42 cannot be opened'),
        ((classifier, pictures, '--out', tmp_path / 'full'), 'is not empty. Choose another --out'),
        ((classifier, pictures, '--out', tmp_path / 'file'), 'is a file'),
        (
            (classifier, pictures, '--save', 'voc', '--out', tmp_path / 'o'),
            'animals is a classifier and has no boxes',
        ),
    ]:
        assert message in refused(*command)
    assert (tmp_path / 'full' / 'mine.txt').is_file()
    run_tool('infer.py', classifier, pictures, '--out', tmp_path / 'full', '--overwrite')
    assert (tmp_path / 'full' / 'predictions.json').is_file()
