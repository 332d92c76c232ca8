"""Fifty kills at random moments, each followed by ``--resume``: the run ends as one that was never killed.

Each start is a fork of this process, which has everything imported, so it takes half a second and the kills
fall into the training: they are counted from the moment when it begins. Seeds of the moments: 0 to 3.
"""

import importlib.util
import json
import os
import random
import select
import signal
import socket
import sys
import time

import cv2
import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import numpy as np
import pytest

from mdvision.datasets import make_mini_voc
from mdvision.engine import faults, launch
from tests.engine.resumed import assert_same, state
from tests.running import ROOT

KILLS = 50
CLASSIFIER = """
_base_ = 'mmpretrain::_base_/default_runtime.py'
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=2, save_best='accuracy/top1'))
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=2, mean=[127.0] * 3, std=[60.0] * 3, to_rgb=True),
    backbone=dict(
        type='mdvision.DiffViT', attention='differential', image_size=16, patch_size=4, in_channels=3,
        embed_dim=32, hidden_dim=32, depth=2, num_heads=2, drop_rate=0.3),
    neck=dict(type='mdvision.MLPLogits', in_channels=32, hidden_channels=32, num_classes=2),
    head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss'), topk=(1,)))
training = [
    dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=16, padding=3),
    dict(type='RandomFlip', prob=0.5), dict(type='ColorJitter', brightness=0.3), dict(type='PackInputs')]
def loader(split, shuffle, pipeline):
    return dict(
        batch_size=4, num_workers=2, collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
        dataset=dict(type='mdvision.ImageFolder', data_root=r'DATA', split=split, pipeline=pipeline))
train_dataloader = loader('train', True, training)
val_dataloader = loader('val', False, [dict(type='LoadImageFromFile'), dict(type='PackInputs')])
test_dataloader = val_dataloader
del loader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=EPOCHS, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.003))
param_scheduler = dict(type='CosineAnnealingLR', T_max=EPOCHS)
randomness = dict(seed=0)
"""


@pytest.fixture(scope='module')
def trainings(tmp_path_factory):
    """The arguments of ``tools/train.py`` for a small classification and a small detection."""
    folder = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    for split, count in (('train', 24), ('val', 6)):
        for index in range(count):
            place = folder / 'pictures' / split / ('dark', 'bright')[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            picture = rng.normal((100, 150)[index % 2], 50, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f'{split}{index}.png'), picture)
    config = folder / 'classifier.py'
    config.write_text(CLASSIFIER.replace('DATA', str(folder / 'pictures')).replace('EPOCHS', '60'))
    voc = make_mini_voc(folder / 'voc', num_train=8, num_val=4, size=(96, 72))
    detector = [
        'configs/emanet/faster_rcnn_minivoc.py', '--cfg-options', 'train_cfg.max_epochs=40',
        'train_cfg.val_interval=1', 'default_hooks.logger.interval=1',
        *(f'{split}_dataloader.dataset.type=mdvision.VOCDataset' for split in ('train', 'val', 'test')),
        *(f'{split}_dataloader.dataset.data_root={voc}' for split in ('train', 'val', 'test')),
    ]  # fmt: skip
    return dict(classification=[str(config)], detection=detector)


def start(arguments, log, environment):
    """Train in a fork of this process; its id, and a pipe that closes when the training begins or ends."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    status = 70
    try:
        os.close(reader)
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1) for number in (1, 2))
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        os.environ.update(environment)
        os.chdir(ROOT)
        sys.path.insert(0, str(ROOT / 'tools'))
        spec = importlib.util.spec_from_file_location('tools_train', ROOT / 'tools' / 'train.py')
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        begin = launch.train_until_told_to_stop

        def announced(runner):
            os.close(writer)
            begin(runner)

        launch.train_until_told_to_stop = announced
        status = faults.run(launch.train, tool.parse_args(arguments))
    finally:
        sys.stdout.flush()
        os._exit(status)


def run(arguments, log, processes, after=None):
    """One attempt, killed ``after`` seconds of training; whether it came to its end, and its seconds."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        environment = {}
        if processes > 1:
            arguments = [*arguments, '--launcher', 'pytorch'] if '--launcher' not in arguments else arguments
            environment = dict(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes), MASTER_PORT=str(port),
                LOCAL_WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1',
            )  # fmt: skip
        children.append(start(arguments, log, environment))
    assert select.select([children[0][1]], [], [], 120)[0], log.read_text()
    begun = time.monotonic()
    left = [child for child, _ in children]
    codes = []
    while left:
        if after is not None and time.monotonic() > begun + after:
            for child in left:
                os.killpg(child, signal.SIGKILL)  # the data workers too
            after = None
        for child in list(left):
            if _ended(child, codes):
                left.remove(child)
        time.sleep(0.005)
        assert time.monotonic() < begun + 300, log.read_text()
    for _, reader in children:
        os.close(reader)
    assert all(code in (0, -signal.SIGKILL) for code in codes), log.read_text()[-3000:]
    return all(code == 0 for code in codes), time.monotonic() - begun


def _ended(child, codes):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        codes.append(os.waitstatus_to_exitcode(status))
    return done != 0


@pytest.mark.kills
@pytest.mark.fault('4.3', '4.18', 'a', 'a2')
@pytest.mark.parametrize('processes', [1, 2])
@pytest.mark.parametrize('kind', ['classification', 'detection'])
def test_fifty_kills_change_nothing(trainings, tmp_path, kind, processes):
    moments = random.Random(2 * (kind == 'detection') + processes - 1)
    arguments = ['--work-dir', str(tmp_path / 'whole'), '--workers', '2', '--threads', '1', '--device', 'cpu']
    arguments = [trainings[kind][0], *arguments, *trainings[kind][1:]]
    finished, seconds = run(arguments, tmp_path / 'whole.log', processes)
    assert finished
    epoch = seconds / (60 if kind == 'classification' else 40)
    arguments[2] = str(tmp_path / 'run')
    arguments[1:1] = ['--resume', 'auto']
    kills = 0
    while kills < KILLS:
        finished, _ = run(arguments, tmp_path / 'run.log', processes, after=moments.uniform(0, 2 * epoch))
        assert not finished, f'at its end after {kills} kills'
        kills += 1
    finished, _ = run(arguments, tmp_path / 'run.log', processes)
    assert finished
    ends = [state(tmp_path / name) for name in ('run', 'whole')]
    if processes > 1:
        # A line of the log is the mean of a window of each process; a checkpoint has that of the main one.
        for row in (row for _, rows in ends for row in rows if row['phase'] == 'train'):
            for name in [name for name in row if 'loss' in name or 'acc' in name]:
                del row[name]
    assert_same(*ends)
    results = [json.loads((tmp_path / name / 'results.json').read_text()) for name in ('run', 'whole')]
    assert results[0]['metrics'] == results[1]['metrics']
