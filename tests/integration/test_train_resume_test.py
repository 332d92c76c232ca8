"""End to end, through the tools: train, resume, test; for a detector and for a classifier."""

import json
import re

import pytest

from tests.running import run_tool, start_tool

MINI = 'configs/emanet/faster_rcnn_minivoc.py'
DETECTION_FILES = ('predictions.png', 'confusion_matrix.png', 'confusion_matrix.csv', 'pr_curves.png',
                   'pr_curves.csv')  # fmt: skip


def detector(data, work_dir, epochs: int) -> list:
    return [
        MINI,
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'train_cfg.max_epochs={epochs}',
        'train_cfg.val_interval=1',
        'default_hooks.logger.interval=1',
        'test_dataloader.batch_size=4',
        *(f'{split}_dataloader.dataset.type=mdvision.VOCDataset' for split in ('train', 'val', 'test')),
        *(f'{split}_dataloader.dataset.data_root={data}' for split in ('train', 'val', 'test')),
    ]


@pytest.mark.slow
def test_a_detector_trains_resumes_and_is_tested(mini_voc, tmp_path):
    printed = run_tool('train.py', *detector(mini_voc, tmp_path, 1))
    lines = printed.splitlines()
    steps = [line for line in lines if re.match(r'epoch 1/1  iter \d/2  loss \d', line)]
    assert len(steps) == 2
    assert all('eta' in line for line in steps)
    assert len(lines) < 60, printed  # no dump of the config, no host noise
    assert 'Deprecat' not in printed
    for name in ('curves.png', 'results.json', 'epoch_1.pth', 'faster_rcnn_minivoc.py', *DETECTION_FILES):
        assert (tmp_path / name).is_file(), name
    first = json.loads((tmp_path / 'results.json').read_text())
    assert first['seed'] == 0
    assert first['parameters'] > 100_000
    assert set(first['versions']) >= {'torch', 'mdvision', 'onedl-mmdetection'}

    printed = run_tool('train.py', *detector(mini_voc, tmp_path, 2), '--resume')
    assert 'epoch 2/2  iter 1/2' in printed
    assert 'epoch 1/2' not in printed
    assert 'tensors matched (100.0 % of the parameters)' in printed
    trained = json.loads((tmp_path / 'results.json').read_text())['metrics']

    printed = run_tool('test.py', *detector(mini_voc, tmp_path, 2)[:1], tmp_path / 'epoch_2.pth',
                       *detector(mini_voc, tmp_path / 'test', 2)[1:])  # fmt: skip
    tested = json.loads((tmp_path / 'test' / 'test_results.json').read_text())['metrics']
    assert tested['voc12/mAP50'] == pytest.approx(trained['voc12/mAP50'], abs=1e-9)
    assert tested['coco/mAP'] == pytest.approx(trained['coco/mAP'], abs=1e-9)
    for name in DETECTION_FILES:
        assert (tmp_path / 'test' / f'test_{name}').is_file(), name
        assert f'test_{name}' in printed
    confusions = (tmp_path / 'test' / 'test_confusion_matrix.csv').read_text().splitlines()
    assert confusions[0] == 'true,circle,cross,triangle,missed'
    assert 'mAP at IoU 0.5 (VOC, area)' in printed
    assert re.search(r'^circle +\d+', printed, re.MULTILINE)

    # Another order of the classes would turn every label into another one.
    overrides = detector(mini_voc, tmp_path / 'test', 2)[1:]
    other_order = "test_dataloader.dataset.metainfo.classes=('cross','circle','triangle')"
    result = start_tool('test.py', MINI, tmp_path / 'epoch_2.pth', *overrides, other_order)
    assert result.returncode == 1
    assert "was trained on the classes ('circle', 'cross', 'triangle')" in result.stderr


@pytest.mark.slow
def test_a_second_run_keeps_the_checkpoints_of_the_first(write_classifier, tmp_path):
    config = write_classifier()
    run_tool('train.py', config, '--work-dir', tmp_path / 'run')
    printed = run_tool('train.py', config, '--work-dir', tmp_path / 'run')
    assert 'the earlier run in' in printed
    assert len(list((tmp_path / 'run').glob('earlier_*/epoch_1.pth'))) == 1


@pytest.mark.slow
def test_a_classifier_trains_resumes_and_is_tested(write_classifier, tmp_path):
    run_tool('train.py', write_classifier(epochs=1), '--work-dir', tmp_path / 'run')
    printed = run_tool('train.py', write_classifier(epochs=3), '--work-dir', tmp_path / 'run', '--resume')
    assert 'tensors matched (100.0 %' in printed
    trained = json.loads((tmp_path / 'run' / 'results.json').read_text())['metrics']
    checkpoint = tmp_path / 'run' / 'epoch_3.pth'
    printed = run_tool('test.py', write_classifier(), checkpoint, '--work-dir', tmp_path / 'test')
    tested = json.loads((tmp_path / 'test' / 'test_results.json').read_text())['metrics']
    assert tested['accuracy/top1'] == trained['accuracy/top1']
    assert 'top-1 accuracy (%)' in printed


@pytest.mark.slow
def test_a_diverging_run_stops_before_it_spoils_the_weights(write_classifier, tmp_path):
    config = write_classifier(epochs=50)
    huge = 'optim_wrapper.optimizer.lr=1e30'
    result = start_tool('train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', huge)
    assert result.returncode == 1
    assert 'The loss became' in result.stderr
    assert 'optim_wrapper.optimizer.lr' in result.stderr
