"""What to resume, and what to put aside."""

import pytest
import torch

from mdvision import UserError
from mdvision.work_dir.files import config_header
from mdvision.work_dir.folder import default_work_dir, find_resumable, set_earlier_run_aside
from tests.running import ROOT


@pytest.fixture
def work_dir(tmp_path):
    for epoch in (1, 2, 10):
        torch.save(
            dict(state_dict=dict(a=torch.ones(100)), meta=dict(epoch=epoch)), tmp_path / f'epoch_{epoch}.pth'
        )
    torch.save(dict(state_dict=dict(a=torch.ones(100))), tmp_path / 'best_mAP_epoch_11.pth')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')  # the folder was moved
    (tmp_path / '20260101_120000').mkdir()
    return tmp_path


@pytest.mark.fault('4.7', '4.9')
def test_the_newest_epoch_is_resumed_wherever_the_folder_lies(work_dir):
    assert find_resumable(work_dir) == work_dir / 'epoch_10.pth'
    (work_dir / 'last_checkpoint').write_text('')
    assert find_resumable(work_dir) == work_dir / 'epoch_10.pth'
    (work_dir / 'last_checkpoint').unlink()
    assert find_resumable(work_dir) == work_dir / 'epoch_10.pth'


def test_a_torn_checkpoint_is_passed_by(work_dir):
    torn = work_dir / 'epoch_10.pth'
    torn.write_bytes(torn.read_bytes()[:200])
    assert find_resumable(work_dir) == work_dir / 'epoch_2.pth'


def test_only_torn_checkpoints_are_an_error(work_dir):
    for path in work_dir.glob('epoch_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(UserError, match='No checkpoint to resume from can be read'):
        find_resumable(work_dir)


def test_an_empty_folder_has_nothing_to_resume(tmp_path):
    assert find_resumable(tmp_path) is None


def test_an_earlier_run_is_moved_whole(work_dir):
    aside = set_earlier_run_aside(work_dir)
    checkpoints = {'best_mAP_epoch_11.pth', 'epoch_1.pth', 'epoch_2.pth', 'epoch_10.pth', 'last_checkpoint'}
    assert {path.name for path in aside.iterdir()} == {'20260101_120000'} | checkpoints
    assert list(work_dir.iterdir()) == [aside]
    assert set_earlier_run_aside(work_dir) is None


def test_what_a_stopped_run_left_is_resumed_first(work_dir):
    interrupted = work_dir / 'interrupted.pth'
    (work_dir / 'epoch_10.pth').rename(interrupted)
    assert find_resumable(work_dir) == interrupted
    interrupted.write_bytes(b'')
    assert find_resumable(work_dir) == work_dir / 'epoch_2.pth'


@pytest.mark.fault('N3')
def test_no_two_configs_of_ours_share_a_folder():
    configs = [path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    folders = {default_work_dir(str(path)) for path in configs}
    assert len(configs) > 100
    assert len(folders) == len(configs)


def test_the_folder_of_a_config_of_the_same_name_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / 'work_dirs' / 'mine'
    run.mkdir(parents=True)
    (run / 'mine.py').write_text(config_header('configs/x/mine.py') + 'a = 1\n')
    assert default_work_dir('configs/x/mine.py') == run.relative_to(tmp_path)
    assert default_work_dir(str(tmp_path / 'configs/x/mine.py')) == run.relative_to(tmp_path)
    with pytest.raises(UserError, match=r'holds a run of configs/x/mine\.py, this run is of mine\.py'):
        default_work_dir('mine.py')
    (run / 'mine.py').write_text('a = 1\n')  # of the user's own
    assert default_work_dir('mine.py') == run.relative_to(tmp_path)
