"""Checkpoints: safe, whole, and of this model; or an error that says what is wrong."""

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mdvision import UserError
from mdvision.engine.checkpoint import load_weights, read_checkpoint


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'epoch_1.pth'


class Malicious:
    def __reduce__(self):
        return exec, ('open("owned", "w").close()',)


def test_a_genuine_checkpoint_is_read(path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(state_dict=net().state_dict(), message_hub=dict(log=history), meta=dict(epoch=1)), path)
    checkpoint = read_checkpoint(str(path))
    assert checkpoint['message_hub']['log'].mean() == 1.5


def test_a_bare_state_dict_is_read(path):
    torch.save(net().state_dict(), path)
    assert set(read_checkpoint(str(path))['state_dict']) == set(net().state_dict())


def test_code_in_a_checkpoint_is_not_run(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save(dict(state_dict=net().state_dict(), extra=Malicious()), path)
    with pytest.raises(UserError, match='holds more than tensors'):
        read_checkpoint(str(path))
    assert not (path.parent / 'owned').exists()


def test_a_missing_file_lists_its_neighbours(path):
    torch.save(net().state_dict(), path)
    with pytest.raises(UserError, match=r'epoch_2\.pth does not exist\. .* holds: epoch_1\.pth'):
        read_checkpoint(str(path.parent / 'epoch_2.pth'))


@pytest.mark.parametrize('keep', [0, 100, 0.5, 0.98])
def test_a_truncated_file_is_named(path, keep):
    torch.save(net(256).state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match=r'epoch_1\.pth .* bytes\) cannot be read'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('content', [[1, 2], {}, {'state_dict': {}}, {'a': 1}])
def test_something_else_is_named(path, content):
    torch.save(content, path)
    with pytest.raises(UserError, match='holds no state dict'):
        read_checkpoint(str(path))


def test_nan_weights_are_refused(path):
    model = net()
    model[0].weight.data[0, 0] = float('nan')
    torch.save(model.state_dict(), path)
    with pytest.raises(UserError, match=r'1 tensors hold NaN or infinity, for example 0\.weight'):
        read_checkpoint(str(path))


def test_all_tensors_matched_is_said():
    model, other = net(), net()
    state = {f'module.{key}': value for key, value in other.state_dict().items()}
    line = load_weights(model, dict(state_dict=state), 'x')
    assert line == '9 of 9 tensors matched (100.0 % of the parameters)'
    assert torch.equal(model[0].weight, other[0].weight)


def test_another_model_is_refused_with_the_count_and_changes_nothing():
    model = net()
    before = model[0].weight.clone()
    with pytest.raises(UserError, match=r'2 of 9 tensors matched') as error:
        load_weights(model, dict(state_dict=net(5).state_dict()), 'x.pth')
    assert '7 of another shape: 0.weight' in str(error.value)
    assert torch.equal(model[0].weight, before)


def test_missing_and_superfluous_tensors_are_named():
    state = net().state_dict()
    state['head.weight'] = state.pop('2.weight')
    with pytest.raises(UserError, match=r'1 missing in the file: 2\.weight') as error:
        load_weights(net(), dict(state_dict=state), 'x.pth')
    assert '1 not in the model: head.weight' in str(error.value)


def test_a_partial_match_is_loaded_when_allowed():
    model, state = net(), net().state_dict()
    state.pop('2.bias')
    line = load_weights(model, dict(state_dict=state), 'x', min_match=0.8)
    assert line.startswith('8 of 9 tensors matched')
    assert torch.equal(model[0].weight, state['0.weight'])
