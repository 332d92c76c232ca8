"""Images that become unreadable in mid-run: others take their place up to a limit; not in a validation."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.fileio import get
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from mdvision.commands.report import _write_results
from mdvision.engine.hooks import bad_images
from mdvision.engine.hooks.bad_images import ImageGuard, TooManyBadImagesError, UnreadableImageError
from mdvision.engine.hooks.interruption import train_interruptibly
from mdvision.errors import UserError
from tests.engine.toy import make_runner


@DATASETS.register_module(force=True)
class ToyFiles(Dataset):
    """Pictures of one colour, read as the hosts' loader reads them; ``spoil`` is called at the first one."""

    metainfo = dict(classes=('a', 'b'))
    spoil = staticmethod(lambda folder: None)

    def __init__(self, folder: str, size: int):
        self.folder, self.size = Path(folder), size
        self.folder.mkdir(exist_ok=True)
        for index in range(size):
            cv2.imwrite(self.get_data_info(index)['img_path'], np.full((8, 8, 3), 20 * index, np.uint8))

    def __len__(self) -> int:
        return self.size

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=str(self.folder / f'{index}.png'))

    def __getitem__(self, index: int) -> dict:
        ToyFiles.spoil(self.folder)
        path = self.get_data_info(index)['img_path']
        image = cv2.imdecode(np.frombuffer(get(path), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, f'failed to load image: {path}'
        return dict(inputs=torch.full((3,), float(image.mean())))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(bad_images, '_WAITS', (0.0,))
    monkeypatch.setattr(ToyFiles, 'spoil', lambda folder: None)


def run(tmp_path, size: int = 8, workers: int = 0, **more):
    dataset = dict(type='ToyFiles', folder=str(tmp_path / 'train'), size=size)
    loader = dict(
        batch_size=2, num_workers=workers, dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=True),
    )  # fmt: skip
    runner = make_runner(tmp_path / 'run', train_dataloader=loader, **more)
    train_interruptibly(runner)
    return runner


def spoiler(number: int, how, folder: str = 'train'):
    """Spoils some files when the first image of the training is read."""

    def spoil(root: Path):
        if root.name == folder:
            for index in range(number):
                if (root / f'{index}.png').is_file() and (root / f'{index}.png').stat().st_size > 20:
                    how(root / f'{index}.png')

    return spoil


WAYS = {
    'removed': (lambda path: path.unlink(), 'No such file or directory'),
    'emptied': (lambda path: path.write_bytes(b''), 'is empty (0 bytes)'),
    'cut': (lambda path: path.write_bytes(path.read_bytes()[:20]), '0.png'),
    'a directory': (lambda path: (path.unlink(), path.mkdir()), 'Is a directory'),
}


@pytest.mark.fault('h')
@pytest.mark.parametrize(('way', 'workers'), [*((way, 0) for way in WAYS), ('emptied', 2)])
def test_another_image_takes_the_place_of_a_bad_one(tmp_path, monkeypatch, way, workers):
    how, reason = WAYS[way]
    monkeypatch.setattr(ToyFiles, 'spoil', spoiler(1, how))
    runner = run(tmp_path, workers=workers, max_bad_images=1)
    assert runner.epoch == 2 and runner.iter == 8
    (bad,) = runner.bad_images
    assert bad['path'] == str(tmp_path / 'train/0.png')
    assert reason in bad['path'] + ' ' + bad['reason']
    _write_results(runner, tmp_path / 'results.json', {}, 1.0)
    assert json.loads((tmp_path / 'results.json').read_text())['bad_images'] == runner.bad_images


@pytest.mark.fault('h')
def test_every_bad_image_is_named_once_and_at_the_end(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(bad_images, 'print_log', lambda text, logger, level: said.append(text))
    monkeypatch.setattr(bad_images, 'say', said.append)
    monkeypatch.setattr(ToyFiles, 'spoil', spoiler(2, os.unlink))
    run(tmp_path, epochs=3, max_bad_images=2)
    named = sorted(line for line in said if 'replaced by another image' in line)
    assert [Path(line.split()[0]).name for line in named] == ['0.png', '1.png']
    assert said[-1].startswith('2 training images became unreadable and were replaced by others: ')


@pytest.mark.fault('h')
@pytest.mark.parametrize(('allowed', 'spoilt'), [(1, 2), (0.2, 2), (0, 1)])
def test_too_many_bad_images_end_the_run_with_a_checkpoint(tmp_path, monkeypatch, capsys, allowed, spoilt):
    monkeypatch.setattr(ToyFiles, 'spoil', spoiler(spoilt, os.unlink))
    with pytest.raises(TooManyBadImagesError) as caught:
        run(tmp_path, max_bad_images=allowed)
    text = str(caught.value)
    assert f'{spoilt} training images became unreadable' in text and 'max_bad_images' in text
    assert all(f'{tmp_path}/train/{index}.png' in text for index in range(spoilt))
    assert (tmp_path / 'run/interrupted.pth').is_file()
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith('too many bad images: stopped after')]) == 1


def test_the_default_is_one_in_a_hundred(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyFiles, 'spoil', spoiler(1, os.unlink))
    with pytest.raises(TooManyBadImagesError, match='max_bad_images allows 0 of 8'):
        run(tmp_path)


@pytest.mark.fault('h')
@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_image_of_the_validation_is_an_error_that_names_it(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(ToyFiles, 'spoil', spoiler(1, lambda path: path.write_bytes(b''), 'val'))
    dataset = dict(type='ToyFiles', folder=str(tmp_path / 'val'), size=3)
    val = dict(
        batch_size=1, num_workers=workers, dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )  # fmt: skip
    with pytest.raises(UnreadableImageError) as caught:
        run(tmp_path, val_dataloader=val)
    assert str(caught.value).startswith(
        f'{tmp_path}/val/0.png is empty (0 bytes). It belongs to a validation'
    )


def test_the_replacement_follows_from_the_index_and_the_seed(tmp_path):
    dataset = ToyFiles(str(tmp_path / 'train'), 12)
    (tmp_path / 'train/3.png').unlink()
    values = []
    for seed in (0, 0, 1, 2, 3):
        guard = ImageGuard(dataset, seed)
        guard.reports = str(tmp_path / f'reports_{len(values)}')
        values.append(guard.fetch(3)['inputs'][0].item())
    assert values[0] == values[1] != 60 and len(set(values)) > 1


def test_an_image_that_is_back_when_it_is_tried_again_is_used(tmp_path, monkeypatch):
    dataset = ToyFiles(str(tmp_path / 'train'), 4)
    path = tmp_path / 'train/3.png'
    content, tries = path.read_bytes(), []
    path.unlink()

    def comes_back(folder):
        tries.append(1)
        if len(tries) == 2:
            path.write_bytes(content)

    monkeypatch.setattr(ToyFiles, 'spoil', comes_back)
    seeds = []
    assert ImageGuard(dataset, 0).fetch(3, lambda: seeds.append(1))['inputs'][0] == 60
    assert len(seeds) == 2  # it is augmented as it would have been


def test_a_fault_of_the_pipeline_is_not_taken_for_a_bad_image(tmp_path, monkeypatch):
    dataset = ToyFiles(str(tmp_path / 'train'), 4)

    def broken(folder):
        raise TypeError('a fault of a transform')

    monkeypatch.setattr(ToyFiles, 'spoil', broken)
    guard = ImageGuard(dataset, 0)
    guard.reports = str(tmp_path / 'reports')
    with pytest.raises(TypeError, match='a fault of a transform'):
        guard.fetch(3)


def test_a_wrong_limit_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"max_bad_images: expected .* got '1%'"):
        run(tmp_path, max_bad_images='1%')
