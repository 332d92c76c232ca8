"""Checkpoints: safe, whole, and of this model; or an error that says what is wrong."""

import random
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mdvision import UserError
from mdvision.checkpoints.integrity import check_whole, seal
from mdvision.checkpoints.reading import load_weights, read_checkpoint
from mdvision.commands import test as command
from tests.engine.toy import ToyModel, make_runner


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'epoch_1.pth'


class Malicious:
    def __reduce__(self):
        return exec, ('open("owned", "w").close()',)


@pytest.mark.fault('6.5')
def test_a_genuine_checkpoint_is_read(path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(state_dict=net().state_dict(), message_hub=dict(log=history), meta=dict(epoch=1)), path)
    checkpoint = read_checkpoint(str(path))
    assert checkpoint['message_hub']['log'].mean() == 1.5


@pytest.mark.fault('6.5')
def test_numbers_of_numpy_are_read_and_saved_again_as_they_were(path):
    big = np.arange(6, dtype='>f4').reshape(2, 3)
    numbers = dict(one=np.float64(0.5), yes=np.bool_(True), big=big, fortran=np.asfortranarray(big))
    torch.save(dict(state_dict=net().state_dict(), message_hub=numbers), path)
    for _ in range(2):
        read = read_checkpoint(str(path))
        hub = read['message_hub']
        assert (hub['one'], hub['yes'], type(hub['one'])) == (0.5, True, np.float64)
        assert np.array_equal(hub['big'], big)
        assert np.array_equal(hub['fortran'], big)
        torch.save(read, path)
    assert type(torch.load(path, weights_only=False)['message_hub']['big']) is np.ndarray


@pytest.mark.fault('6.4')
def test_an_array_of_addresses_is_refused(path):
    """numpy takes any description of an array from a file; one of objects is an array of addresses."""

    class Addresses:
        def __reduce__(self):
            return np.dtype, ('O8',)

    torch.save(dict(state_dict=net().state_dict(), extra=Addresses()), path)
    with pytest.raises(UserError, match=r"asks for arrays of 'O8', which no genuine checkpoint does"):
        read_checkpoint(str(path))


@pytest.mark.fault('6.7')
@pytest.mark.parametrize('place, content', [(20, 1 << 20), (38, 0x10)], ids=['size', 'folder'])
def test_an_entry_that_torch_reads_otherwise_is_damaged(path, place, content):
    """Found by damaging files at random: torch took the weights from memory that held something else."""
    torch.save(dict(a=torch.zeros(4)), path)
    damaged = bytearray(path.read_bytes())
    entry = damaged.rindex(b'epoch_1/data/0') - 46  # a header of 46 bytes stands before the name
    damaged[entry + place : entry + place + 4] = content.to_bytes(4, 'little')
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"cannot be read: 'epoch_1/data/0' in it is damaged"):
        read_checkpoint(str(path))


@pytest.mark.fault('6.7')
def test_the_name_of_a_damaged_member_is_printable(path):
    torch.save(dict(a=torch.zeros(4)), path)
    content = path.read_bytes().replace(b'epoch_1/data/0', b'epoch_1/\x1b[1mA0')
    path.write_bytes(content[:-1000].replace(bytes(16), b'\x01' * 16) + content[-1000:])
    with pytest.raises(UserError, match=r'cannot be read') as error:
        read_checkpoint(str(path))
    assert str(error.value).isprintable()


@pytest.mark.fault('6.11')
def test_a_bare_state_dict_is_read(path):
    torch.save(net().state_dict(), path)
    checkpoint = read_checkpoint(str(path))
    assert checkpoint.pop('meta') == {}
    assert set(checkpoint.pop('state_dict')) == set(net().state_dict())
    assert not checkpoint


def test_code_in_a_checkpoint_is_not_run(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save(dict(state_dict=net().state_dict(), extra=Malicious()), path)
    with pytest.raises(UserError, match='holds more than tensors'):
        read_checkpoint(str(path))
    assert not (path.parent / 'owned').exists()


@pytest.mark.fault('6.10')
def test_a_missing_file_lists_its_neighbours(path):
    with pytest.raises(UserError, match=r'epoch_1\.pth does not exist\.$'):
        read_checkpoint(str(path))
    torch.save(net().state_dict(), path)
    with pytest.raises(UserError, match=r'epoch_2\.pth does not exist\. .* holds: epoch_1\.pth'):
        read_checkpoint(str(path.parent / 'epoch_2.pth'))


@pytest.mark.fault('6.6')
@pytest.mark.parametrize('keep', [0, 100, 0.5, 0.98])
def test_a_truncated_file_is_named(path, keep):
    torch.save(net(256).state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match=r'epoch_1\.pth .* bytes\) cannot be read: ') as error:
        read_checkpoint(str(path))
    assert str(error.value).endswith('. Use another checkpoint of the run, or copy it again.')
    assert keep == 0 or 'it is truncated, or something was appended to it' in str(error.value)


@pytest.mark.fault('6.7')
@pytest.mark.parametrize('sealed', [True, False])
def test_something_appended_is_found(path, sealed):
    torch.save(net().state_dict(), path)
    if sealed:
        seal(path)
    path.write_bytes(path.read_bytes() + b'\0')
    with pytest.raises(UserError, match='it is truncated, or something was appended to it'):
        read_checkpoint(str(path))


@pytest.mark.fault('6.7')
def test_a_table_of_contents_without_sense_is_named_with_its_fault(path):
    torch.save(net().state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(b'PK\1\2')] = 0
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'its table of contents is damaged \(BadZipFile\)'):
        read_checkpoint(str(path))


@pytest.mark.fault('6.9', '6.10')
@pytest.mark.parametrize('content', [[1, 2], {}, {'state_dict': {}}, {'a': 1}])
def test_something_else_is_named(path, content):
    torch.save(content, path)
    with pytest.raises(UserError, match='contains no state dict'):
        read_checkpoint(str(path))


@pytest.mark.fault('6.8')
def test_nan_weights_are_refused(path):
    model = net()
    model[0].weight.data[0, 0] = float('nan')
    torch.save(model.state_dict(), path)
    with pytest.raises(UserError, match=r'epoch_1\.pth: 1 tensors contain NaN or infinity') as error:
        read_checkpoint(str(path))
    assert str(error.value).endswith('for example 0.weight. The run had diverged; use an earlier one.')


def test_all_tensors_matched_is_said():
    model, other = net(), net()
    state = {f'module.{key}': value for key, value in other.state_dict().items()}
    line = load_weights(model, dict(state_dict=state), 'x')
    assert line == '9 of 9 tensors matched (100.0 % of the parameters)'
    assert torch.equal(model[0].weight, other[0].weight)


@pytest.mark.fault('6.9')
def test_another_model_is_refused_with_the_count_and_changes_nothing():
    model = net()
    before = model[0].weight.clone()
    with pytest.raises(UserError, match=r'2 of 9 tensors matched') as error:
        load_weights(model, dict(state_dict=net(5).state_dict()), 'x.pth')
    assert '7 of another shape: 0.weight, 0.bias, 1.weight' in str(error.value)
    assert str(error.value).endswith(
        'Use the config that the checkpoint was trained with (it is in its work directory), or allow a '
        'partial '
        'match with --allow-partial.'
    )
    assert torch.equal(model[0].weight, before)


@pytest.mark.fault('6.10')
def test_a_folder_is_no_checkpoint(path):
    torch.save(net().state_dict(), path)
    with pytest.raises(UserError, match=r'is a folder\. .* holds: epoch_1\.pth'):
        read_checkpoint(str(path.parent))


@pytest.mark.fault('6.7')
def test_one_changed_bit_anywhere_in_a_checkpoint_of_ours_is_found(tmp_path):
    make_runner(tmp_path, epochs=1).train()
    file, draw = tmp_path / 'epoch_1.pth', random.Random(0)
    content = file.read_bytes()
    read_checkpoint(str(file))
    # Spread over the file, and every bit of its end, where the sum itself is.
    bits = [draw.randrange(8 * len(content)) for _ in range(60)]
    bits += range(8 * (len(content) - 110), 8 * len(content))
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r'epoch_1\.pth .* cannot be read'):
            read_checkpoint(str(file))


@pytest.mark.fault('6.7')
@pytest.mark.parametrize('sealed', [True, False])
def test_changed_weights_are_found(path, sealed):
    torch.save(net(256).state_dict(), path)
    if sealed:
        seal(path)
    content = bytearray(path.read_bytes())
    at = content.index(net(256)[1].running_var.numpy().tobytes())  # 256 ones
    content[at + 64 : at + 128] = bytes(64)
    path.write_bytes(content)
    reason = (
        r'differ from those that were written \(SHA-256\)'
        if sealed
        else r"'epoch_1/data/\d+' in it is damaged"
    )
    with pytest.raises(UserError, match=reason):
        read_checkpoint(str(path))


@pytest.mark.fault('6.7')
@pytest.mark.parametrize('sealed', [True, False])
def test_members_that_changed_places_are_found(path, sealed):
    """The checksums of the members are right, that of the whole is not."""
    torch.save(dict(a=torch.zeros(3), b=torch.ones(3)), path)
    if sealed:
        seal(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    members['epoch_1/data/0'], members['epoch_1/data/1'] = (
        members['epoch_1/data/1'],
        members['epoch_1/data/0'],
    )
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = comment
    if sealed:
        with pytest.raises(UserError, match='SHA-256'):
            read_checkpoint(str(path))
    else:  # of another program's file nothing tells
        assert read_checkpoint(str(path))['state_dict']['a'].sum() == 3


def test_any_torch_reads_a_checkpoint_with_a_sum(path):
    torch.save(net().state_dict(), path)
    seal(path)
    check_whole(path)
    for how in (dict(weights_only=True), dict(weights_only=False), dict(mmap=True)):
        assert set(torch.load(path, **how)) == set(net().state_dict())
    with pytest.raises(ValueError, match='not a zip archive without a comment'):
        seal(path)


def test_the_format_of_before_torch_1_6_is_read(path):
    torch.save(net().state_dict(), path, _use_new_zipfile_serialization=False)
    assert set(read_checkpoint(str(path))['state_dict']) == set(net().state_dict())


@pytest.mark.fault('d')
@pytest.mark.parametrize('way', ['pickle', 'script', 'old format'])
def test_the_advice_of_torch_to_execute_the_file_is_not_passed_on(path, way):
    if way == 'script':
        torch.jit.script(net()).save(path)
    else:
        content = dict(state_dict=net().state_dict(), extra=Malicious())
        torch.save(content, path, _use_new_zipfile_serialization=way == 'pickle')
    with pytest.raises(UserError) as error:
        read_checkpoint(str(path))
    assert 'weights_only' not in str(error.value)
    assert '\x1b' not in str(error.value)


def test_missing_and_superfluous_tensors_are_named():
    state = net().state_dict()
    state['head.weight'] = state.pop('2.weight')
    with pytest.raises(UserError, match=r'1 missing in the file: 2\.weight') as error:
        load_weights(net(), dict(state_dict=state), 'x.pth')
    assert '1 not in the model: head.weight' in str(error.value)


def test_a_tensor_too_many_alone_is_refused():
    state = net().state_dict() | {'head.weight': torch.zeros(2)}
    with pytest.raises(UserError, match=r'9 of 9 tensors matched[\s\S]*1 not in the model: head\.weight'):
        load_weights(net(), dict(state_dict=state), 'x.pth')
    assert load_weights(net(), dict(state_dict=state), 'x.pth', min_match=0.9).startswith('9 of 9')


@pytest.fixture
def run_test_tool(tmp_path, monkeypatch):
    """``tools/test.py`` on the toy: everything but the reading of a config."""
    loader = dict(dataset=dict(type='ToyData', size=3), sampler=dict(type='DefaultSampler', shuffle=False))
    parts = dict(
        test_dataloader=dict(loader, batch_size=1, num_workers=0),
        test_cfg=dict(),
        test_evaluator=dict(type='ToyMetric'),
    )

    def build(cfg):
        runner = make_runner(tmp_path / 'run', **parts)
        runner._load_from = cfg.load_from
        return runner

    monkeypatch.setattr(command, 'start_up', lambda *args: (Config(), ['on a CPU']))
    monkeypatch.setattr(command, 'Runner', Namespace(from_cfg=build))
    monkeypatch.setattr(command, 'check_test_data', lambda runner: [])
    monkeypatch.setattr(command, 'report_test', lambda runner, started, metrics: metrics)
    return lambda *files, allow_partial=False: command.test(
        Namespace(config=str(files[0]), checkpoint=str(files[1]), allow_partial=allow_partial)
    )


@pytest.mark.fault('6.9', '6.11')
def test_the_test_tool_wants_every_tensor_and_none_too_many(path, run_test_tool):
    state = ToyModel().state_dict()
    torch.save(state, path)
    run_test_tool('toy.py', path)
    torch.save(state | {'head.weight': torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r'another model: 2 of 2 .*[\s\S]*1 not in the model: head\.weight'):
        run_test_tool('toy.py', path)
    run_test_tool('toy.py', path, allow_partial=True)
    del state['linear.bias']
    torch.save(state, path)
    with pytest.raises(UserError, match=r'1 missing in the file: linear\.bias'):
        run_test_tool('toy.py', path)


@pytest.mark.fault('6.15')
def test_a_training_does_not_go_on_from_another_model(tmp_path):
    make_runner(tmp_path / 'a', epochs=1).train()
    runner = make_runner(tmp_path / 'b', epochs=2, resume=str(tmp_path / 'a' / 'epoch_1.pth'))
    runner.model.linear = nn.Linear(3, 5)
    with pytest.raises(UserError, match=r'epoch_1\.pth belongs to another model: 0 of 2 tensors'):
        runner.train()


@pytest.mark.fault('N13')
def test_config_and_checkpoint_in_the_wrong_order(run_test_tool):
    with pytest.raises(UserError, match=r'config comes first, .*tools/test\.py toy\.py epoch_1\.pth'):
        run_test_tool('epoch_1.pth', 'toy.py')


@pytest.mark.fault('6.8')
def test_nan_in_the_weights_stops_resumption_and_test(tmp_path, path, run_test_tool):
    make_runner(tmp_path / 'a', epochs=1).train()
    checkpoint = torch.load(tmp_path / 'a' / 'epoch_1.pth', weights_only=False)
    checkpoint['state_dict']['linear.bias'][0] = float('inf')
    torch.save(checkpoint, path)
    for use in (make_runner(tmp_path / 'b', resume=str(path)).train, lambda: run_test_tool('toy.py', path)):
        with pytest.raises(UserError, match=r'1 tensors contain NaN or infinity, for example linear\.bias'):
            use()


def test_a_partial_match_is_loaded_when_allowed():
    model, state = net(), net().state_dict()
    state.pop('2.bias')
    line = load_weights(model, dict(state_dict=state), 'x', min_match=0.8)
    assert line == (
        '8 of 9 tensors matched (94.3 % of the parameters); these keep their initial values: 2.bias'
    )
    assert torch.equal(model[0].weight, state['0.weight'])
    del state['1.bias']
    for name, end in (
        ('0.bias', '0.bias, 1.bias, 2.bias'),
        ('1.weight', '0.bias, 1.weight, 1.bias, and 1 more'),
    ):
        del state[name]
        line = load_weights(net(), dict(state_dict=state), 'x', min_match=0.5)
        assert line.endswith(f'these keep their initial values: {end}')


def test_the_counters_of_batch_norms_may_be_missing():
    state = net().state_dict()
    del state['1.num_batches_tracked']
    assert load_weights(net(), dict(state_dict=state), 'x') == (
        '8 of 8 tensors matched (100.0 % of the parameters)'
    )


def test_an_address_is_left_to_the_loader_of_mmengine(monkeypatch):
    """With the device that was asked for, and without a line in the log."""
    asked = []

    def load(*args, **kwargs):
        asked.append((args, kwargs))
        return net().state_dict()

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', load)
    address = 'https://example.org/net.pth'
    assert set(read_checkpoint(address, 'meta')['state_dict']) == set(net().state_dict())
    assert asked == [((address, 'meta'), dict(logger='silent'))]
