"""The switches of train.py, through the tool."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.running import ENVIRONMENT, ROOT, run_tool

MINI = 'configs/emanet/faster_rcnn_minivoc.py'


@pytest.fixture
def with_loss(write_classifier):
    """The small classifier on our runtime, with the validation loss."""

    def write(**settings):
        path = write_classifier(**settings)
        text = path.read_text()
        text = text.replace(
            "'mmpretrain::_base_/default_runtime.py'", f"'{ROOT}/configs/_base_/classification_runtime.py'"
        )
        loss = "[dict(type='Accuracy', topk=(1,)), dict(type='mdvision.ClassificationLoss')]"
        text = text.replace("dict(type='Accuracy', topk=(1,))\n", loss + '\n')
        path.write_text(text + 'auto_scale_lr = dict(base_batch_size=16)\n')
        return path

    return write


@pytest.mark.slow
def test_bfloat16_averaged_weights_and_every_log(with_loss, tmp_path):
    printed = run_tool(
        'train.py', with_loss(epochs=2), '--work-dir', tmp_path, '--amp', 'bf16', '--ema', '0.5'
    )
    assert 'the learning rate is for a batch of 16; with 4 it is multiplied by 0.25' in printed
    assert 'averaged weights are evaluated and saved (EMA, momentum 0.5: over about 2 iterations)' in printed
    assert 'val/loss' in printed
    assert 'tensorflow' not in printed.lower()
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 4
    average, trained = checkpoint['state_dict'], checkpoint['ema_state_dict']
    assert not torch.equal(average['head.fc.weight'], trained['module.head.fc.weight'])
    assert average['head.fc.weight'].dtype == torch.float32
    with (tmp_path / 'metrics.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['phase'] for row in rows] == ['train', 'train', 'val'] * 2
    assert float(rows[0]['lr']) == pytest.approx(0.05 / 4)
    metrics = json.loads((tmp_path / 'results.json').read_text())['metrics']
    assert float(rows[-1]['val/loss']) == pytest.approx(metrics['loss'])
    assert len(list(tmp_path.glob('2*/vis_data/events.out.tfevents.*'))) == 1
    assert len(list(tmp_path.glob('best_accuracy_top1_*.pth'))) == 1


@pytest.mark.slow
def test_a_detector_passes_a_dry_run(mini_voc, tmp_path):
    splits = ('train', 'val', 'test')
    printed = run_tool(
        'train.py',
        MINI,
        '--dry-run',
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *(f'{split}_dataloader.dataset.type=mdvision.VOCDataset' for split in splits),
        *(f'{split}_dataloader.dataset.data_root={mini_voc}' for split in splits),
    )
    assert 'dry run passed' in printed
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_sigterm_ends_a_run_with_its_status_and_a_checkpoint(with_loss, tmp_path):
    """With a data worker, which gets the signal too, as from Slurm."""
    config = with_loss(epochs=2000)
    command = [
        sys.executable,
        str(ROOT / 'tools' / 'train.py'),
        str(config),
        '--work-dir',
        str(tmp_path / 'run'),
    ]
    with (tmp_path / 'printed.txt').open('w') as out:
        run = subprocess.Popen(
            [*command, '--workers', '1'],
            env=ENVIRONMENT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    log = tmp_path / 'run' / 'metrics.csv'
    until = time.time() + 120
    while run.poll() is None and time.time() < until and not (log.is_file() and '\nval,' in log.read_text()):
        time.sleep(0.2)
    assert (tmp_path / 'run' / 'run.lock').is_file()
    # To the group of this run alone: it is the leader of its own session.
    os.killpg(run.pid, signal.SIGTERM)
    assert run.wait(timeout=60) == 128 + signal.SIGTERM
    printed = (tmp_path / 'printed.txt').read_text()
    assert 'SIGTERM: stopped after iteration' in printed
    assert 'Traceback' not in printed
    assert (tmp_path / 'run' / 'interrupted.pth').is_file()
    assert not (tmp_path / 'run' / 'run.lock').exists()
