"""What a finished run leaves does not depend on its charts, its data set, or a picture that fails."""

import json
import types
import warnings

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.registry import DATASETS
from PIL import Image
from torch.utils.data import Dataset

from mdvision.commands import report
from mdvision.evaluation import evaluate_voc
from mdvision.visualization.detection_plots import draw_confusion_matrix, draw_pr_curves
from tests.engine.starting import train, write_config
from tests.engine.toy import ToyData


@DATASETS.register_module(force=True)
class BareData(Dataset):
    """No class names, and nothing that says what an image is."""

    def __init__(self, size: int):
        self._inner = ToyData(size)

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: int) -> dict:
        return self._inner[index]


@pytest.mark.fault('D18')
def test_curves_are_drawn_whatever_the_charts_are(tmp_path):
    charts = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])
    train(write_config(tmp_path / 'toy.py', epochs=2, visualizer=charts), tmp_path / 'run')
    assert cv2.imread(str(tmp_path / 'run' / 'curves.png')) is not None
    assert json.loads((tmp_path / 'run' / 'results.json').read_text())['metrics']['score'] == 2.0


@pytest.mark.fault('D18')
def test_a_data_set_without_names_trains_to_the_end(tmp_path):
    bare = dict(dataset=dict(type='BareData', size=4))
    config = write_config(tmp_path / 'toy.py', epochs=1, train_dataloader=bare, val_dataloader=bare)
    train(config, tmp_path / 'run')
    assert (tmp_path / 'run' / 'results.json').is_file()


@pytest.mark.fault('D18')
def test_a_picture_that_fails_is_a_warning_with_its_name(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(report, 'say', said.append)

    def fail(*args):
        raise ValueError('no such glyph')

    monkeypatch.setattr(report, 'draw_curves', fail)
    train(write_config(tmp_path / 'toy.py', epochs=1), tmp_path / 'run')
    assert 'warning: curves.png could not be written: ValueError: no such glyph' in said
    assert (tmp_path / 'run' / 'results.json').is_file()
    (log,) = (tmp_path / 'run').glob('2*/*.log')
    assert 'Traceback' in log.read_text()


@pytest.mark.fault('D22')
@pytest.mark.parametrize('flag, size', [('color', (80, 40)), ('color_ignore_orientation', (40, 80))])
def test_the_sheet_shows_the_image_as_the_pipeline_loads_it(tmp_path, flag, size):
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = (200, 0, 0)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / 'a.png', exif=turned)
    pipeline = Compose([LoadImageFromFile(color_type=flag, to_float32=True)])
    dataset = types.SimpleNamespace(
        pipeline=pipeline, get_data_info=lambda index: dict(img_path=str(tmp_path / 'a.png'))
    )
    image = report._as_loaded(dataset, 0)
    assert image.shape == (*size, 3)
    assert image.dtype == np.uint8
    assert image[..., 0].max() == 200 and image[..., 2].max() == 0  # red is the first


@pytest.mark.fault('D36')
@pytest.mark.parametrize('names', [('a$_$b', 'c$^$'), ('\\frac$', '_private'), ('猫', '犬')])
def test_names_are_shown_as_they_are_written(tmp_path, names):
    boxes, labels = np.array([[0, 0, 10, 10.0], [20, 20, 30, 30.0]]), np.array([0, 1])
    truth = dict(gt_boxes=boxes, gt_labels=labels, gt_difficult=np.zeros(2, bool))
    found = dict(pred_boxes=boxes, pred_labels=labels, pred_scores=np.array([0.5, 0.6]))
    voc = evaluate_voc([truth | found], 2)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        draw_confusion_matrix(np.eye(3, dtype=int), names, tmp_path / 'c.png', 'note')
        draw_pr_curves(voc, names, tmp_path / 'p.png', 'note')
    assert cv2.imread(str(tmp_path / 'c.png')) is not None
    assert cv2.imread(str(tmp_path / 'p.png')) is not None
