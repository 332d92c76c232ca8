"""What runs a comparison has, and that an interruption changes nothing in its tables."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mdvision.commands import compare
from mdvision.compare import report
from mdvision.compare.budget import Timing
from mdvision.compare.plan import Variant, parse_seeds, plan_variants, resolve
from mdvision.compare.run import locked
from mdvision.compare.values import is_lower_better
from mdvision.config.overrides import apply_overrides
from mdvision.config.reading import load_config
from mdvision.errors import UserError
from tests.integration.conftest import picture_folder, write_classifier  # noqa: F401
from tests.running import ENVIRONMENT, ROOT, run_tool

# Trains nothing: after each epoch it adds a number that depends on seed, epoch and learning rate.
FAKE = """
import hashlib, json, os, signal, sys, time
from pathlib import Path
args = sys.argv[1:]
work_dir = Path(args[args.index('--work-dir') + 1])
seed = args[args.index('--seed') + 1]
options = dict(o.split('=', 1) for o in args if '=' in o)
rate = options.get('optim_wrapper.optimizer.lr', '0')
here = Path(__file__).parent
state, first = 0.0, 1
if '--resume' in args:
    checkpoint = Path(args[args.index('--resume') + 1])
    state, first = json.loads(checkpoint.with_suffix('.state').read_text()), int(checkpoint.stem[6:]) + 1
with open(here / 'calls.txt', 'a') as calls:
    calls.write(f'{work_dir.parent.name}/{work_dir.name} from {first}\\n')
log = work_dir / f'20260101_00000{first}' / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True, exist_ok=True)
for epoch in range(first, 4):
    digest = hashlib.sha256(f'{seed} {epoch} {rate}'.encode()).digest()
    state += digest[0] / 100
    for kind, text in (('.state', json.dumps(state)), ('.pth', None)):
        target = work_dir / f'epoch_{epoch}{kind}'
        target.write_bytes((here / 'blank.pth').read_bytes()) if text is None else target.write_text(text)
    fault = here / f'{work_dir.parent.name}_{work_dir.name}_{epoch}'
    if fault.exists():
        what = fault.read_text()
        fault.unlink()
        if what == 'wait':
            (here / 'waiting').touch()
            time.sleep(60)
        print('something broke', flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    with open(log, 'a') as file:
        file.write(json.dumps({'accuracy/top1': state, 'val/loss': -state, 'step': epoch}) + '\\n')
metrics = {'accuracy/top1': state, 'loss': -state, 'odd': None}
record = dict(metrics=metrics, parameters=7, hardware='none', versions={'x': '1'}, seed=int(seed))
(work_dir / 'results.json').write_text(json.dumps(record))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch, write_classifier):  # noqa: F811
    """Compares three learning rates with two seeds, without training; returns the folder."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    folder = tmp_path / 'fake'
    folder.mkdir()
    (folder / 'train.py').write_text(FAKE)
    torch.save(dict(meta=dict(epoch=1), state_dict=dict(w=torch.zeros(1))), folder / 'blank.pth')
    config = write_classifier(epochs=3)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    start = importlib.import_module('_start')
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    # Neither counts nor picture have anything to do with what is tested here.
    monkeypatch.setattr(
        report, 'costs_of', lambda _, variants, *__: dict(counts=[{}] * len(variants), speed=None)
    )
    monkeypatch.setattr(report, 'draw_comparison', lambda *_: None)

    def run(name: str, *more: str, vary=('optim_wrapper.optimizer.lr', '0.1', '0.2', '0.3')) -> Path:
        work_dir = tmp_path / name
        chosen = ['--vary', *vary] if vary else []
        argv = [str(config), *chosen, '--seeds', '2', '--work-dir', str(work_dir), '--no-speed', *more]
        start.choose_device(argv)
        args = compare.parse_args(argv)
        args.trainer = [sys.executable, str(folder / 'train.py')]
        compare.compare(args)
        return work_dir

    run.folder = folder
    run.config = config
    run.calls = lambda: (folder / 'calls.txt').read_text().split('\n')[:-1]
    return run


def tables(work_dir: Path) -> list[str]:
    return [(work_dir / f'comparison.{kind}').read_text() for kind in ('md', 'csv', 'tex', 'json')]


def test_an_interrupted_comparison_ends_with_the_same_tables(fake):
    whole = fake('whole')
    assert fake.calls() == [f'lr_0.{v}/seed_{s} from 1' for s in (0, 1) for v in (1, 2, 3)]
    (fake.folder / 'calls.txt').unlink()

    for fault in ('lr_0.2_seed_0_2', 'lr_0.1_seed_1_1', 'lr_0.3_seed_1_3'):
        (fake.folder / fault).write_text('die')
        with pytest.raises(UserError, match='failed with status -9') as error:
            fake('broken')
        assert 'something broke' in str(error.value)
    broken = fake('broken')
    assert fake.calls() == [
        'lr_0.1/seed_0 from 1',
        'lr_0.2/seed_0 from 1',
        'lr_0.2/seed_0 from 3',
        'lr_0.3/seed_0 from 1',
        'lr_0.1/seed_1 from 1',
        'lr_0.1/seed_1 from 2',
        'lr_0.2/seed_1 from 1',
        'lr_0.3/seed_1 from 1',
        # It died in the last validation: continuing after the last epoch would never validate.
        'lr_0.3/seed_1 from 3',
    ]
    assert tables(broken) == tables(whole)


def test_a_comparison_killed_in_the_middle_is_continued(fake, tmp_path):
    whole = fake('whole')
    (fake.folder / 'lr_0.2_seed_1_2').write_text('wait')
    driver = (
        'import argparse, json, sys; sys.path.insert(0, sys.argv[1]);'
        'from mdvision.commands.compare import compare;'
        'compare(argparse.Namespace(**json.loads(sys.argv[2])))'
    )
    args = dict(config=[str(fake.config)], vary=['optim_wrapper.optimizer.lr', '0.1', '0.2', '0.3'],
                seeds=['2'], work_dir=str(tmp_path / 'killed'), no_speed=True, cfg_options=[], names=None,
                metric=None, select='last', lower_is_better=False, budget=None, jobs=None, redo=False,
                amp=None, device='auto', threads=None, workers=None, debug=False,
                trainer=[sys.executable, str(fake.folder / 'train.py')])  # fmt: skip
    command = [sys.executable, '-c', driver, str(ROOT), json.dumps(args)]
    process = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL)
    for _ in range(1200):
        if (fake.folder / 'waiting').exists():
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    # Its training still goes on: a second comparison would write into the same folders.
    with pytest.raises(UserError, match='is in use'):
        fake('killed')
    os.killpg(process.pid, signal.SIGKILL)
    time.sleep(0.5)
    (fake.folder / 'calls.txt').unlink()
    assert tables(fake('killed')) == tables(whole)
    assert fake.calls() == ['lr_0.2/seed_1 from 3', 'lr_0.3/seed_1 from 1']


def test_a_finished_comparison_is_not_touched(fake):
    folder = fake('done')
    (folder / 'comparison.md').unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.glob('*/**/*')}
    plan = (folder / 'plan.json').stat().st_mtime_ns
    calls = fake.calls()
    fake('done')
    assert fake.calls() == calls
    assert {path: path.stat().st_mtime_ns for path in folder.glob('*/**/*')} == before
    assert (folder / 'plan.json').stat().st_mtime_ns == plan
    assert (folder / 'comparison.md').is_file()
    # More seeds and other variants join what is there.
    fake('done', '--seeds', '3')
    assert len(fake.calls()) == len(calls) + 3


def test_jobs_run_beside_each_other_with_the_same_result(fake):
    assert tables(fake('two', '--jobs', '2')) == tables(fake('one'))


def test_another_plan_is_refused_until_redo(fake, capsys):
    folder = fake('w')
    calls = fake.calls()
    with pytest.raises(UserError, match=r'different config_sha256, cfg_options.*--work-dir.*--redo'):
        fake('w', '--cfg-options', 'train_dataloader.batch_size=2')
    assert fake.calls() == calls
    fake('w', '--cfg-options', 'train_dataloader.batch_size=2', '--redo')
    assert len(fake.calls()) == 2 * len(calls)
    assert len(list(folder.glob('earlier_*/lr_0.1/seed_0/results.json'))) == 1
    fake.config.write_text(fake.config.read_text().replace('momentum=0.9', 'momentum=0.8'))
    with pytest.raises(UserError, match='a different config_sha256:'):
        fake('w', '--cfg-options', 'train_dataloader.batch_size=2')
    (folder / 'plan.json').unlink()
    with pytest.raises(UserError, match='no plan'):
        fake('w')


def test_a_budget_sets_the_epochs_once(fake, monkeypatch, capsys):
    probes = []

    def probe(variant, *_):
        probes.append(variant.name)
        return Timing(epoch=10.0, validation=0.0, overhead=0.0)

    monkeypatch.setattr(compare, 'probe', probe)
    folder = fake('w', '--budget', '5m')
    # Two seeds of three variants are 60 s an epoch, and 270 s are planned for.
    plan = json.loads((folder / 'plan.json').read_text())
    assert plan['budget']['epochs'] == 4
    assert '3 variants x 2 seeds x 4 epochs = 6 runs, 1 at a time, about 4 min' in capsys.readouterr().out
    assert 'train_cfg.max_epochs=4' in plan['variants']['lr_0.1']['cfg_options']
    calls = fake.calls()
    fake('w', '--budget', '5m')
    assert (fake.calls(), len(probes)) == (calls, 3)
    with pytest.raises(UserError, match='was planned with a different budget or config'):
        fake('w', '--budget', '4m')
    with pytest.raises(UserError, match='was planned with a different config_sha256, cfg_options'):
        fake('w')
    assert len(probes) == 3
    fake('w', '--budget', '4m', '--redo')
    assert json.loads((folder / 'plan.json').read_text())['budget']['epochs'] == 3


def test_a_results_file_that_was_cut_short_does_not_count(fake):
    folder = fake('w')
    whole = tables(folder)
    results = folder / 'lr_0.1' / 'seed_0' / 'results.json'
    results.write_text(results.read_text()[:20])
    (folder / 'lr_0.1' / 'seed_0' / 'epoch_2.pth').write_bytes(b'damaged')
    assert tables(fake('w')) == whole
    assert fake.calls()[-1] == 'lr_0.1/seed_0 from 2'


def test_the_best_validation_can_be_taken_and_the_caption_says_so(fake):
    folder = fake('w', '--select', 'best', '--metric', 'accuracy/top1')
    assert 'optimistic' in (folder / 'comparison.md').read_text()
    log = next((folder / 'lr_0.1' / 'seed_0').glob('*/vis_data/scalars.json'))
    log.write_text(json.dumps({'accuracy/top1': 77.0, 'step': 1}) + '\n' + log.read_text())
    fake('w', '--select', 'best')
    first = json.loads((folder / 'comparison.json').read_text())['variants'][0]
    assert first['values']['0'] == 77.0


@pytest.mark.fault('D15')
def test_the_best_loss_is_found_under_the_name_that_the_log_has_for_it(fake):
    folder = fake('w', '--select', 'best', '--metric', 'loss')
    record = json.loads((folder / 'comparison.json').read_text())
    results = json.loads((folder / 'lr_0.1' / 'seed_0' / 'results.json').read_text())
    assert record['variants'][0]['values']['0'] == results['metrics']['loss']


@pytest.mark.fault('D15')
def test_a_metric_that_no_run_has_is_said_after_the_first(fake):
    with pytest.raises(UserError, match=r"accuracy/top2: not in all runs. Did you mean 'accuracy/top1'"):
        fake('w', '--metric', 'accuracy/top2')
    assert len(fake.calls()) == 1


@pytest.mark.fault('D12')
def test_trainings_see_the_chosen_gpu_alone_as_the_first(fake, monkeypatch):
    """The tool leaves one GPU visible; within that there is no cuda:1."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    folder = fake('w', '--device', 'cuda:1')
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '1'
    arguments = json.loads((folder / 'plan.json').read_text())['variants']['lr_0.1']['arguments']
    assert arguments[arguments.index('--device') + 1] == 'cuda'


def test_a_missed_validation_is_not_skipped_when_the_best_counts(fake):
    (fake.folder / 'lr_0.1_seed_0_2').write_text('die')  # after the checkpoint, before the validation
    with pytest.raises(UserError):
        fake('w', '--select', 'best')
    fake('w', '--select', 'best')
    assert fake.calls()[1] == 'lr_0.1/seed_0 from 2'


def test_metrics_that_cannot_be_compared_are_refused(fake):
    with pytest.raises(UserError, match=r"accuracy/top2: not in all runs. Did you mean 'accuracy/top1'"):
        fake('w', '--metric', 'accuracy/top2')
    with pytest.raises(UserError, match='odd is None, not a finite number'):
        fake('w', '--metric', 'odd')
    lower = fake('w', '--metric', 'loss')
    text = (lower / 'comparison.md').read_text()
    assert 'loss (lower is better)' in text
    assert is_lower_better('val/loss_cls') and is_lower_better('mae')
    assert not is_lower_better('accuracy/top1') and not is_lower_better('coco/mAP')


def test_bad_arguments_are_explained(fake):
    for more, message in (
        (('--seeds', 'a'), '--seeds a: expected the number of seeds'),
        (('--seeds', '1', '1'), 'at least one seed, without duplicates'),
        (('--seeds', '0'), 'at least one seed'),
        (('--names', 'a', 'b'), '--names has 2 names for 3 variants'),
        (('--names', 'a', 'a', 'b'), "Two variants would be named 'a'"),
        (('--cfg-options', 'optim_wrapper.optimizer.lrr=1'), 'no key'),
    ):
        with pytest.raises(UserError, match=message):
            fake('w', *more)
    with pytest.raises(UserError, match='at least two variants'):
        fake('w', vary=None)
    with pytest.raises(UserError, match='expected a key and its values'):
        fake('w', vary=('model',))
    assert not (fake.folder / 'calls.txt').exists()


def test_seeds_are_a_count_or_a_list():
    assert parse_seeds(['3']) == [0, 1, 2]
    assert parse_seeds(['5', '2']) == [5, 2]


class Arguments:
    """As parsed."""

    def __init__(self, config, vary=None, names=None, cfg_options=()):
        self.config, self.vary, self.names, self.cfg_options = config, vary, names, cfg_options


def test_variants_have_readable_names_and_safe_folders(fake):
    vary = ['model.backbone.attention', "dict(type='mdvision.SE')", "dict(type='SE', reduction=8)", 'None']
    variants = plan_variants(Arguments(['c.py'], vary, cfg_options=['a.b=1']))
    assert [variant.name for variant in variants] == ['SE', 'SE(reduction=8)', 'none']
    assert [variant.folder for variant in variants] == ['SE', 'SE_reduction_8', 'none']
    assert variants[0].options == ('a.b=1', "model.backbone.attention={'type': 'mdvision.SE'}")
    configs = plan_variants(Arguments(['x/a.py', 'y/a.py', 'z/b.py']))
    assert [variant.name for variant in configs] == ['x/a', 'y/a', 'z/b']
    assert Variant('../..', 'c.py').folder == 'variant'
    # What is written is what is read.
    cfg = load_config(str(fake.config))
    apply_overrides(cfg, ["model.backbone.attention={'type': 'mdvision.SE'}"])
    assert cfg.model.backbone.attention == dict(type='mdvision.SE')


def test_data_order_depends_on_the_seed_only(fake):
    orders = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        cfg = resolve(Variant('a', str(fake.config)))
        init_default_scope('mmpretrain')
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=5)
        loader.sampler.set_epoch(3)
        orders.append(list(loader.sampler))
    assert orders[0] == orders[1] != sorted(orders[0])


def test_a_folder_has_one_user_at_a_time(tmp_path):
    pytest.importorskip('fcntl')
    with locked(tmp_path), pytest.raises(UserError, match='is in use'), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.slow
def test_real_trainings_are_compared_and_continued_exactly(write_classifier, tmp_path):  # noqa: F811
    config = write_classifier(epochs=2)
    work_dir = tmp_path / 'w'
    pipeline = ("[dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=0.5), "
                "dict(type='ColorJitter', brightness=0.5), dict(type='PackInputs')]")  # fmt: skip
    command = [config, '--vary', 'optim_wrapper.optimizer.lr', '0.05', '0.01', '--names', 'fast', 'slow',
               '--seeds', '2', '--work-dir', work_dir, '--device', 'cpu',
               '--cfg-options', f'train_dataloader.dataset.pipeline={pipeline}']  # fmt: skip
    printed = run_tool('compare.py', *command, fork_children=True)
    assert '2 variants x 2 seeds x 2 epochs = 4 runs, 1 at a time' in printed
    record = json.loads((work_dir / 'comparison.json').read_text())
    for variant in record['variants']:
        assert set(variant['values']) == {'0', '1'}
        assert variant['macs'] > 0 and variant['images_per_second'] > 0 and variant['memory_bytes'] > 0
    assert (work_dir / 'comparison.png').stat().st_size > 10_000
    before = tables(work_dir)

    run = work_dir / 'slow' / 'seed_1'
    trained = torch.load(run / 'epoch_2.pth', weights_only=False)['state_dict']
    for name in ('results.json', 'epoch_2.pth'):
        (run / name).unlink()
    printed = run_tool('compare.py', *command, fork_children=True)
    assert 'slow, seed 1: resumes after epoch_1' in printed
    assert '3 of 4 runs were already finished' in printed
    continued = torch.load(run / 'epoch_2.pth', weights_only=False)['state_dict']
    assert all(torch.equal(trained[key], continued[key]) for key in trained)
    assert tables(work_dir) == before
