"""A start that fails leaves the folder of an earlier run as it was; one that succeeds sets it aside whole."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mdvision import UserError
from mdvision.work_dir.folder import find_resumable
from tests.engine.starting import evaluate, train, write_config


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, and every folder, as it is."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b'folder'
        for path in folder.rglob('*')
    }


@HOOKS.register_module(force=True)
class FailIn(Hook):
    """Fails in the first training iteration, as where memory or channels do not suffice."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise RuntimeError('no memory')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config of a finished run, and its folder."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(folder / 'toy.py', epochs=2)
    train(config, folder / 'run')
    assert {'epoch_2.pth', 'metrics.csv', 'results.json', 'toy.py'} <= set(contents(folder / 'run'))
    return config, folder / 'run'


@pytest.fixture
def config(trained):
    return trained[0]


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of the folder of the finished run."""
    return shutil.copytree(trained[1], tmp_path / 'run')


# What the error says, and the override that causes it.
FAULTS = {
    'data missing': ['NoneType', 'train_dataloader.dataset.size=none'],
    'misspelt model': ['ToyModell', 'model.type=ToyModell'],
    'no batch': [
        'do not fill a batch of 64',
        'train_dataloader.batch_size=64',
        'train_dataloader.drop_last=True',
    ],
    'unknown rule': ['rule', 'default_hooks.checkpoint.save_best=score', 'default_hooks.checkpoint.rule=up'],
    'first iteration': ['no memory', "custom_hooks=[{'type':'FailIn'}]"],
    'optimizer': ['SGDD|None is not', 'optim_wrapper.optimizer.type=SGDD'],
    'scheduler': ['LinearLRR', 'param_scheduler.0.type=LinearLRR'],
    'hook at the start': ['nothing.pth', "custom_hooks=[{'type':'ReadAtTheStart'}]"],
}


@HOOKS.register_module(force=True)
class ReadAtTheStart(Hook):
    def before_train(self, runner):
        Path('nothing.pth').read_bytes()


@pytest.mark.fault('N3')
@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize('resume', [None, 'auto'])
def test_a_start_that_fails_leaves_a_finished_run_as_it_was(config, finished, fault, resume):
    before = contents(finished)
    message, *options = FAULTS[fault]
    with pytest.raises(Exception, match=message):
        train(config, finished, *options, 'train_cfg.max_epochs=3', resume=resume)
    assert contents(finished) == before


@pytest.mark.fault('N3')
def test_a_start_that_fails_leaves_no_folder(config, tmp_path):
    with pytest.raises(Exception, match='ToyModell'):
        train(config, tmp_path / 'new', 'model.type=ToyModell')
    assert not (tmp_path / 'new').exists()


@pytest.mark.fault('D17', '4.8')
def test_a_new_run_sets_the_earlier_one_aside_with_all_that_is_of_it(config, finished):
    (finished / 'my_notes.py').write_text('of the user')
    (finished / 'test_results.json').write_text('{}')
    (finished / 'pr_curves.csv').write_text('of the earlier run')
    before = contents(finished)
    train(config, finished)
    (aside,) = finished.glob('earlier_*')
    moved = contents(aside)
    assert before == moved | {'my_notes.py': b'of the user'}
    assert {'results.json', 'curves.png', 'toy.py', 'metrics.csv', 'epoch_2.pth', 'test_results.json'} <= set(
        moved
    )
    now = contents(finished)
    assert now['my_notes.py'] == b'of the user'
    assert 'pr_curves.csv' not in now
    assert {'results.json', 'toy.py', 'metrics.csv', 'epoch_2.pth'} <= set(now)


def test_the_config_in_the_folder_is_the_one_that_ran_and_can_be_run(config, finished):
    assert Config.fromfile(finished / 'toy.py').train_cfg.max_epochs == 2
    assert (finished / 'toy.py').read_text().startswith('# The config of a run of mdvision')


def test_the_log_has_what_was_said_before_the_run_began(finished):
    (log,) = finished.glob('2*/*.log')
    text = log.read_text()
    assert 'Hooks will be executed' in text
    assert 'epoch 2/2' in text


@pytest.mark.fault('D16')
def test_a_test_leaves_the_config_of_the_training_alone(config, finished):
    before = contents(finished)
    evaluate(config, finished / 'epoch_2.pth', finished, 'optim_wrapper.optimizer.lr=0.5')
    now = contents(finished)
    assert {name: now[name] for name in before} == before
    assert Config.fromfile(finished / 'test_toy.py').optim_wrapper.optimizer.lr == 0.5
    assert 'test_results.json' in now


@pytest.mark.fault('N3')
def test_a_test_that_fails_leaves_nothing(config, finished, tmp_path):
    before = contents(finished)
    torch.save(dict(state_dict={'other.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(UserError, match='belongs to another model'):
        evaluate(config, tmp_path / 'other.pth', finished)
    assert contents(finished) == before


@pytest.mark.fault('D28')
def test_resuming_an_older_checkpoint_sets_what_came_after_it_aside(tmp_path):
    config = write_config(tmp_path / 'toy.py', epochs=3, checkpoint=dict(save_best='score', rule='greater'))
    run = tmp_path / 'run'
    train(config, run)
    before = contents(run)
    stop_at_once = "custom_hooks=[{'type':'StopAfter','iteration':8}]"
    with pytest.raises(RuntimeError, match='stopped'):
        train(config, run, stop_at_once, resume=str(run / 'epoch_1.pth'))
    (aside,) = run.glob('earlier_*')
    assert find_resumable(run).name == 'epoch_2.pth'
    assert {'epoch_2.pth', 'epoch_3.pth', 'best_score_epoch_3.pth', 'results.json'} <= set(contents(aside))
    assert contents(aside)['epoch_2.pth'] == before['epoch_2.pth']
    rows = list(csv.DictReader((aside / 'metrics.csv').open()))
    assert rows[-1]['epoch'] == '3'
    assert not (run / 'epoch_3.pth').exists()


@HOOKS.register_module(force=True)
class StopAfter(Hook):
    priority = 'LOWEST'

    def __init__(self, iteration: int):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration:
            raise RuntimeError('stopped')


def test_a_run_that_goes_on_from_another_folder_sets_what_is_in_its_own_aside(config, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / 'other')
    before = contents(other)
    train(config, other, 'train_cfg.max_epochs=3', resume=str(finished / 'epoch_2.pth'))
    (aside,) = other.glob('earlier_*')
    assert contents(aside) == before
    assert {path.name for path in other.glob('*.pth')} == {'epoch_3.pth'}


@pytest.mark.fault('D29')
@pytest.mark.parametrize(
    'key', ['load_from', 'backbone_from', 'model.init_cfg.checkpoint', 'custom_hooks.0.weights']
)
def test_a_file_of_the_earlier_run_that_the_new_one_reads_is_not_moved(tmp_path, config, finished, key):
    from mdvision.work_dir.folder import refuse_to_move

    cfg = Config(dict(custom_hooks=[dict()], model=dict(init_cfg=dict())))
    cfg.merge_from_dict({key: str(finished / 'epoch_2.pth')})
    with pytest.raises(UserError, match=rf'{key}=.*epoch_2.pth is in the work directory of this run'):
        refuse_to_move(cfg, finished)
    refuse_to_move(cfg, tmp_path / 'elsewhere')


@pytest.mark.fault('D29')
def test_the_refusal_comes_before_anything_is_moved(config, finished):
    before = contents(finished)
    with pytest.raises(UserError, match=r'backbone_from=.*is in the work directory'):
        train(config, finished, f'backbone_from={finished / "epoch_2.pth"}')
    assert contents(finished) == before
