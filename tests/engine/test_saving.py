"""Which checkpoints a run keeps, and in which folder it deletes; what a kill in the writing leaves."""

import multiprocessing
import os
import shutil
import signal

import pytest
import torch
from mmengine.config import Config

from mdvision import UserError
from mdvision.engine.hooks.checkpoint import CheckpointHook, write_atomically
from mdvision.engine.hooks.interruption import Interrupted, train_interruptibly
from mdvision.work_dir.folder import find_resumable
from mdvision.work_dir.lock import lock_work_dir
from tests.engine.toy import make_runner
from tests.running import ROOT

BEST = dict(save_best='score', rule='greater')


def names(folder):
    return {path.name for path in folder.glob('*.pth')}


@pytest.mark.fault('D2')
def test_a_branch_leaves_the_best_checkpoint_of_the_run_that_it_comes_from(tmp_path):
    make_runner(tmp_path / 'a', epochs=3, checkpoint=BEST).train()
    before = names(tmp_path / 'a')
    assert 'best_score_epoch_3.pth' in before
    values = dict(type='ToyMetric', values=(9.0,))
    resume = str(tmp_path / 'a' / 'epoch_3.pth')
    make_runner(tmp_path / 'b', epochs=4, checkpoint=BEST, resume=resume, val_evaluator=values).train()
    assert names(tmp_path / 'a') == before
    assert names(tmp_path / 'b') == {'epoch_4.pth', 'best_score_epoch_4.pth'}


@pytest.mark.fault('D2')
@pytest.mark.parametrize('value, best', [(9.0, 'best_score_epoch_4.pth'), (0.5, 'best_score_epoch_3.pth')])
def test_a_copied_run_has_one_best_checkpoint_and_the_original_keeps_its_own(tmp_path, value, best):
    make_runner(tmp_path / 'a', epochs=3, checkpoint=BEST).train()
    before = names(tmp_path / 'a')
    shutil.copytree(tmp_path / 'a', tmp_path / 'c')
    values = dict(type='ToyMetric', values=(value,))
    resume = str(tmp_path / 'c' / 'epoch_3.pth')
    make_runner(tmp_path / 'c', epochs=4, checkpoint=BEST, resume=resume, val_evaluator=values).train()
    assert names(tmp_path / 'a') == before
    assert {name for name in names(tmp_path / 'c') if name.startswith('best')} == {best}


def test_a_branch_without_the_best_file_looks_for_it_anew(tmp_path, capsys):
    """A worse value than in the run before: the best that is in the folder all the same."""
    make_runner(tmp_path / 'a', epochs=3, checkpoint=BEST).train()
    values = dict(type='ToyMetric', values=(0.5,))
    resume = str(tmp_path / 'a' / 'epoch_3.pth')
    make_runner(tmp_path / 'b', epochs=4, checkpoint=BEST, resume=resume, val_evaluator=values).train()
    assert 'best_score_epoch_4.pth' in names(tmp_path / 'b')
    where = tmp_path / 'b'
    note = f'best_score_epoch_3.pth is not in {where}; the search for the best checkpoint starts over'
    assert note in capsys.readouterr().out


@pytest.mark.fault('D2')
def test_a_branch_leaves_the_best_checkpoints_by_two_metrics(tmp_path):
    best = dict(save_best=['score', 'loss'], rule=['greater', 'less'])
    make_runner(tmp_path / 'a', epochs=2, checkpoint=best).train()
    before = names(tmp_path / 'a')
    assert before == {
        f'{name}.pth' for name in ('epoch_1', 'epoch_2', 'best_score_epoch_2', 'best_loss_epoch_1')
    }
    values = dict(type='ToyMetric', values=(9.0, 0.1))
    resume = str(tmp_path / 'a' / 'epoch_2.pth')
    make_runner(tmp_path / 'b', epochs=4, checkpoint=best, resume=resume, val_evaluator=values).train()
    assert names(tmp_path / 'a') == before
    best_ones = {name for name in names(tmp_path / 'b') if name.startswith('best')}
    assert best_ones == {'best_score_epoch_3.pth', 'best_loss_epoch_4.pth'}


@pytest.mark.fault('D9')
def test_the_best_by_the_first_metric_there_is(tmp_path):
    auto = dict(save_best='auto', rule='greater')
    assert CheckpointHook(save_best='auto').rules == [None]
    make_runner(tmp_path, epochs=2, checkpoint=auto).train()
    assert 'best_score_epoch_2.pth' in names(tmp_path)


@pytest.mark.fault('D9')
def test_the_best_loss_is_the_lowest(tmp_path):
    """With the hook as our configs have it: losses of 20, 10 and 30."""
    base = Config.fromfile(ROOT / 'configs/_base_/runtime.py').default_hooks.checkpoint.to_dict()
    values = dict(type='ToyMetric', values=(2.0, 1.0, 3.0))
    make_runner(tmp_path, epochs=3, checkpoint=dict(base, save_best='loss'), val_evaluator=values).train()
    assert 'best_loss_epoch_2.pth' in names(tmp_path)


@pytest.mark.fault('D9')
def test_the_rule_of_a_metric_follows_from_its_name():
    rules = {
        'greater': (
            'accuracy/top1',
            'voc12/mAP50',
            'coco/bbox_mAP',
            'AR@100',
            'single-label/f1-score',
            'mIoU',
        ),
        'less': ('loss', 'val/loss_cls', 'mae', 'error_rate'),
    }
    for rule, metrics in rules.items():
        for metric in metrics:
            assert CheckpointHook(save_best=metric).rules == [rule], metric
    assert CheckpointHook(save_best=['loss', 'accuracy/top1']).rules == ['less', 'greater']
    assert CheckpointHook(save_best='loss', rule='greater').rules == ['greater']
    two = CheckpointHook(save_best=['loss', 'score'], rule=['less', 'greater'])
    assert two.rules == ['less', 'greater']
    with pytest.raises(UserError, match=r"save_best='score': the name does not tell .*rule='greater'"):
        CheckpointHook(save_best='score')


@pytest.mark.fault('D11')
@pytest.mark.parametrize('argument', [dict(out_dir='/scratch'), dict(filename_tmpl='model_{}.pth')])
def test_checkpoints_that_resume_would_not_find_are_refused(tmp_path, argument):
    (name,) = argument
    with pytest.raises(
        UserError, match=rf'checkpoint\.{name}=.*where --resume finds them.* use --work-dir\.$'
    ):
        make_runner(tmp_path, checkpoint=argument)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault('4.12')
def test_by_default_the_two_newest_and_the_best_are_kept(tmp_path):
    base = Config.fromfile(ROOT / 'configs/_base_/runtime.py').default_hooks.checkpoint.to_dict()
    values = dict(type='ToyMetric', values=(2.0, 3.0, 1.0, 1.5))
    hook = base | BEST
    make_runner(tmp_path, epochs=4, checkpoint=hook, val_evaluator=values).train()
    assert names(tmp_path) == {'epoch_3.pth', 'epoch_4.pth', 'best_score_epoch_2.pth'}


@pytest.mark.fault('4.5', '4.12')
def test_a_resumed_run_that_is_to_keep_fewer_deletes_them_after_its_first_checkpoint(tmp_path):
    make_runner(tmp_path, epochs=3, checkpoint=dict(max_keep_ckpts=3)).train()
    fewer = dict(max_keep_ckpts=1)
    stop = dict(type='SignalAt', iteration=13)
    before = {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth'}
    resume = str(tmp_path / 'epoch_3.pth')
    with pytest.raises(Interrupted):
        train_interruptibly(make_runner(tmp_path, 4, (stop,), resume, checkpoint=fewer))
    assert names(tmp_path) == before | {'interrupted.pth'}
    make_runner(tmp_path, 4, resume=str(tmp_path / 'interrupted.pth'), checkpoint=fewer).train()
    assert names(tmp_path) == {'epoch_4.pth'}


def write_and_die(path) -> None:
    def write(temporary):
        temporary.write_bytes(b'half of it')
        os.kill(os.getpid(), signal.SIGKILL)

    write_atomically(path, write)


@pytest.mark.fault('4.4')
def test_a_kill_in_the_writing_leaves_the_checkpoint_before_it(tmp_path):
    saved = dict(state_dict=dict(a=torch.ones(3)), meta=dict(epoch=1))
    torch.save(saved, tmp_path / 'epoch_1.pth')
    before = (tmp_path / 'epoch_1.pth').read_bytes()
    for name in ('epoch_2.pth', 'epoch_1.pth'):  # a new one, and one that is written again
        process = multiprocessing.get_context('fork').Process(target=write_and_die, args=(tmp_path / name,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob('.epoch_?.pth.*.tmp'))) == 2
    assert (tmp_path / 'epoch_1.pth').read_bytes() == before
    assert find_resumable(tmp_path).name == 'epoch_1.pth'
    with lock_work_dir(tmp_path):
        assert [path.name for path in tmp_path.glob('*') if path.name != 'run.lock'] == ['epoch_1.pth']
