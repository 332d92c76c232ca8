"""Kills at random moments, each followed by ``--resume``: the run ends as one that was never killed.

Each start is a fork of this process, which has everything imported. Nine of ten kills are counted from the
moment when the training begins, so that most fall into it; the others fall into the start. Seeds: 0 to 3.
"""

import contextlib
import gc
import json
import mmap
import os
import random
import signal
import socket
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from yapf.yapflib import yapf_api

from mdvision.commands import faults, train
from mdvision.config.reading import load_config
from mdvision.console import import_upstream
from mdvision.datasets import make_mini_voc
from mdvision.engine import runner as runner_module
from mdvision.engine import train_loop
from tests.engine.resumed import assert_same, state
from tests.running import ROOT

KILLS = 50
EPOCHS = {1: 50, 2: 60}  # by the number of processes; some are left at the last kill
PLACES = ('start', 'training', 'validation', 'writing')
CLASSIFIER = """
_base_ = 'BASE'
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
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.003))
"""


@pytest.fixture(scope='module')
def trainings(tmp_path_factory):
    """The configs of a small classification and a small detection, without bases: those take a second."""
    for host in ('mmdet', 'mmpretrain'):
        import_upstream(host)
    folder = tmp_path_factory.mktemp('data')
    return dict(classification=_classification(folder), detection=_detection(folder))


def _classification(folder):
    rng = np.random.default_rng(0)
    for split, count in (('train', 24), ('val', 6)):
        for index in range(count):
            place = folder / 'pictures' / split / ('dark', 'bright')[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            picture = rng.normal((100, 150)[index % 2], 50, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f'{split}{index}.png'), picture)
    written = folder / 'with_bases.py'
    base = ROOT / 'configs/_base_/classification_runtime.py'
    written.write_text(CLASSIFIER.replace('DATA', str(folder / 'pictures')).replace('BASE', str(base)))
    return _flat(
        written, folder / 'classification.py', {'default_hooks.checkpoint.save_best': 'accuracy/top1'}
    )


def _detection(folder):
    """Workers that stay from epoch to epoch; those of the classification do not."""
    voc = make_mini_voc(folder / 'voc', num_train=8, num_val=4, size=(64, 48))
    smaller = {
        'model.neck.out_channels': 16,
        'model.rpn_head': dict(in_channels=16, feat_channels=16),
        'model.roi_head.bbox_roi_extractor.out_channels': 16,
        'model.roi_head.bbox_head': dict(conv_out_channels=16, fc_out_channels=32),
        'model.train_cfg.rpn_proposal.max_per_img': 20,
        'model.test_cfg.rpn.max_per_img': 20,
    }
    for split in ('train', 'val', 'test'):
        smaller |= {
            f'{split}_dataloader.dataset.type': 'mdvision.VOCDataset',
            f'{split}_dataloader.dataset.data_root': str(voc),
            f'{split}_dataloader.num_workers': 2,
            f'{split}_dataloader.persistent_workers': True,
        }
    for split, step in (('train', 2), ('val', 1), ('test', 1)):
        smaller[f'{split}_dataloader.dataset.pipeline.{step}.scale'] = (64, 48)
    return _flat(ROOT / 'configs/emanet/faster_rcnn_minivoc.py', folder / 'detection.py', smaller)


def _flat(source, target, changes):
    config = load_config(str(source))
    config.merge_from_dict(changes)
    config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=EPOCHS[1], val_interval=1)
    config.default_hooks.logger.interval = 1
    config.param_scheduler = [dict(type='CosineAnnealingLR', T_max=EPOCHS[1])]
    config.dump(str(target))
    return str(target)


class Place:
    """Where a training is, as another process sees it."""

    def __init__(self):
        self.shared = mmap.mmap(-1, 1)

    def get(self):
        return PLACES[self.shared[0]]

    @contextlib.contextmanager
    def within(self, name):
        before, self.shared[0] = self.shared[0], PLACES.index(name)
        yield
        self.shared[0] = before

    def note(self, owner, function, name):
        """Say while a function runs that the training is in this place."""
        original = getattr(owner, function)

        def noted(*args):
            with self.within(name):
                return original(*args)

        setattr(owner, function, noted)


def start(arguments, log, environment, place):
    """Train in a fork of this process; its id."""
    gc.freeze()  # or each fork copies what its first collection looks at
    child = os.fork()
    if child:
        os.setpgid(child, child)
        return child
    status = 70
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1) for number in (1, 2))
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        os.environ.update(environment)
        os.chdir(ROOT)
        # It makes the text of the config beautiful for each checkpoint, which takes most of an epoch here.
        yapf_api.FormatCode = lambda text, **style: (text, True)
        place.note(train, 'train_interruptibly', 'training')
        place.note(train_loop.EpochLoop, '_validate', 'validation')
        place.note(runner_module, 'write_atomically', 'writing')
        status = faults.run(train.train, train.parse_args(arguments))
    finally:
        sys.stdout.flush()
        os._exit(status)


def run(arguments, log, processes, moment=None):
    """One attempt, killed at its moment: so many seconds after the start or after the training began.

    Returns:
        Where it was when it was killed, None at its end; seconds of its start, of its first epoch with what
        precedes it (processes find each other, data workers start), and of all.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    places = [Place() for _ in range(processes)]
    begun, first_epoch = [time.monotonic(), None], None
    left = []
    for rank in range(processes):
        environment = {}
        if processes > 1:
            environment = dict(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes), MASTER_PORT=str(port),
                LOCAL_WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1',
            )  # fmt: skip
        left.append(start(arguments, log, environment, places[rank]))
    codes, killed_in = [], None
    while left:
        now = time.monotonic()
        if begun[1] is None and places[0].get() != 'start':
            begun[1] = now
        if first_epoch is None and places[0].get() in ('validation', 'writing'):
            first_epoch = now - begun[1]
        origin = moment and begun[PLACES.index(moment[0])]
        if origin and now > origin + moment[1] and killed_in is None:
            killed_in = places[0].get()
            for child in left:
                os.killpg(child, signal.SIGKILL)  # the data workers too
        for child in list(left):
            if _ended(child, codes):
                left.remove(child)
        time.sleep(0.002)
        assert now < begun[0] + 300, log.read_text()
    assert all(code in (0, -signal.SIGKILL) for code in codes), log.read_text()[-3000:]
    end = time.monotonic()
    return (
        None if all(code == 0 for code in codes) else killed_in,
        (begun[1] or end) - begun[0],
        first_epoch,
        end - begun[0],
    )


def _ended(child, codes):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        codes.append(os.waitstatus_to_exitcode(status))
    return done != 0


@pytest.mark.kills
@pytest.mark.fault('4.3', '4.18', 'a', 'a2')
@pytest.mark.parametrize('processes', [1, 2])
@pytest.mark.parametrize('kind', ['classification', 'detection'])
def test_kills_change_nothing(trainings, tmp_path, kind, processes):
    moments = random.Random(2 * (kind == 'detection') + processes - 1)
    length = [f'train_cfg.max_epochs={EPOCHS[processes]}', f'param_scheduler.0.T_max={EPOCHS[processes]}']
    arguments = [trainings[kind], '--workers', '2', '--threads', '1', '--device', 'cpu']
    arguments += ['--cfg-options', *length, '--work-dir']
    log = tmp_path / 'whole.log'
    killed_in, starting, first_epoch, training = run([*arguments, str(tmp_path / 'whole')], log, processes)
    assert killed_in is None
    epoch = training / EPOCHS[processes]
    arguments += [str(tmp_path / 'run'), '--resume', 'auto']
    begun, places = time.monotonic(), []
    while len(places) < KILLS:
        in_start = len(places) % 10 == 9
        begin, longest = ('start', starting) if in_start else ('training', first_epoch + epoch)
        moment = begin, moments.uniform(0, longest)
        places.append(run(arguments, tmp_path / 'run.log', processes, moment)[0])
        assert places[-1], f'at its end after {len(places)} kills'
    seconds = time.monotonic() - begun
    reached = max((int(path.stem[6:]) for path in (tmp_path / 'run').glob('epoch_*.pth')), default=0)
    killed_in, *rest = run(arguments, tmp_path / 'run.log', processes)
    assert killed_in is None
    assert_same(*(state(tmp_path / name) for name in ('run', 'whole')))
    results = [json.loads((tmp_path / name / 'results.json').read_text()) for name in ('run', 'whole')]
    assert results[0]['metrics'] == results[1]['metrics']
    print(
        f'{kind}, {processes} processes: {len(places)} kills in {seconds:.0f} s, {dict(Counter(places))}, '
        f'which reached epoch {reached} of {EPOCHS[processes]}; '
        f'uninterrupted start {starting:.1f} s and training {training:.1f} s, last attempt '
        f'{rest[0]:.1f} and {rest[-1]:.1f} s; equal'
    )
