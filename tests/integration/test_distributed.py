"""Two processes on CPU do what one process does."""

import pytest
import torch

from tests.running import run_tool


@pytest.mark.slow
@pytest.mark.fault('5.1', '5.2', '5.15')
def test_a_step_of_two_processes_equals_one_with_the_whole_batch(write_classifier, tmp_path):
    """Batch norm frozen, no random augmentation: the same parameters to 1e-6 after each step of an epoch."""
    settings = dict(norm_eval=True, shuffle=False)
    run_tool('train.py', write_classifier(batch=4, **settings), '--work-dir', tmp_path / 'one')
    run_tool('dist_train.sh', write_classifier(batch=2, **settings), '2', '--work-dir', tmp_path / 'two')
    one, two = (torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False) for name in ('one', 'two'))
    assert one['meta']['iter'] == two['meta']['iter'] == 2
    assert one['state_dict'].keys() == two['state_dict'].keys()
    for name, value in one['state_dict'].items():
        assert (value - two['state_dict'][name]).abs().max() <= 1e-6, name


@pytest.mark.slow
@pytest.mark.fault('5.5', '5.14')
def test_two_processes_evaluate_as_one(write_classifier, tmp_path):
    config = write_classifier()
    run_tool('train.py', config, '--work-dir', tmp_path / 'one')
    checkpoint = tmp_path / 'one' / 'epoch_1.pth'
    one = run_tool('test.py', config, checkpoint, '--work-dir', tmp_path / 'a')
    two = run_tool(
        'dist_test.sh', config, tmp_path / 'one' / 'epoch_1.pth', '2', '--work-dir', tmp_path / 'b'
    )
    accuracy = [line for line in one.splitlines() if line.startswith('top-1 accuracy')]
    assert accuracy
    assert accuracy[0] in two
