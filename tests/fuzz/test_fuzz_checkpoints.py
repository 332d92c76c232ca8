"""Damaged checkpoints: each is refused in words or read right, and nothing in it is executed.

Seeded: damage ``n`` is the same in every run. Every damage to a file of ours must be found. A file of another
program must be refused or read as it was; only where its checksums are made anew, so that nothing tells it
from a file that was written so, it may be read as something else.
"""

import io
import os
import pickle
import pickletools
import random
import time
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mdvision import UserError
from mdvision.checkpoints.integrity import seal
from mdvision.checkpoints.reading import load_weights, read_checkpoint

LONGEST = 5.0  # seconds for one file, which takes milliseconds


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Path:
    """A checkpoint with all that those of a training have."""
    torch.manual_seed(0)
    path, model = tmp_path_factory.mktemp('whole') / 'epoch_1.pth', net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(
        dict(
            state_dict=model.state_dict(),
            optimizer=optimizer.state_dict(),
            message_hub=dict(log_scalars=dict(loss=history), runtime_info=dict(epoch=1)),
            meta=dict(epoch=1, iter=5, cfg='model = dict()', dataset_meta=dict(classes=('a', 'b'))),
        ),
        path,
    )
    return path


def flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        bit = draw.randrange(8 * len(content))
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def overwrite(content: bytes, draw: random.Random) -> bytes:
    at, size = draw.randrange(len(content)), draw.choice([4, 64, 512])
    return content[:at] + draw.randbytes(len(content[at : at + size])) + content[at + size :]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def cut_out(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.choice([1, 4, 64]) :]


def append(content: bytes, draw: random.Random) -> bytes:
    return content + draw.choice([b'\0', b'PK\x05\x06', content, draw.randbytes(100)])


def rewrite(content: bytes, draw: random.Random, change) -> bytes:
    """The archive with other members, and checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        comment = archive.comment
    change(members, draw)
    written = io.BytesIO()
    with zipfile.ZipFile(written, 'w') as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.comment = comment
    return written.getvalue()


def exchange_members(content: bytes, draw: random.Random) -> bytes:
    def change(members: dict, draw: random.Random) -> None:
        one, two = draw.sample([name for name in members if '/data/' in name], 2)
        members[one], members[two] = members[two], members[one]

    return rewrite(content, draw, change)


def drop_member(content: bytes, draw: random.Random) -> bytes:
    return rewrite(content, draw, lambda members, draw: members.pop(draw.choice(list(members))))


def change_member(content: bytes, draw: random.Random) -> bytes:
    def change(members: dict, draw: random.Random) -> None:
        name = draw.choice(list(members))
        members[name] = draw.choice([flip, overwrite, cut])(members[name], draw) if members[name] else b'x'

    return rewrite(content, draw, change)


def change_pickle(content: bytes, draw: random.Random) -> bytes:
    """One operation of the pickle becomes another, is dropped or stands twice."""

    def change(members: dict, draw: random.Random) -> None:
        (name,) = (name for name in members if name.endswith('/data.pkl'))
        program = members[name]
        places = [place for _, _, place in pickletools.genops(program)] + [len(program)]
        index = draw.randrange(len(places) - 1)
        here, there = places[index], places[index + 1]
        other = draw.choice(pickletools.opcodes).code.encode('latin1')
        operation = program[here:there]
        new = draw.choice([b'', operation * 2, other + operation[1:], other])
        members[name] = program[:here] + new + program[there:]

    return rewrite(content, draw, change)


def call_something(content: bytes, draw: random.Random) -> bytes:
    """The pickle calls a function that would leave a mark, in one of the ways that pickles have."""

    def change(members: dict, draw: random.Random) -> None:
        (name,) = (name for name in members if name.endswith('/data.pkl'))
        program = members[name]
        argument = pickle.dumps('executed', 2)[2:-1]
        module, function = draw.choice([('os', 'mkdir'), ('posix', 'mkdir'), ('pathlib', 'Path.touch')])
        call = f'c{module}\n{function}\n'.encode() + b'(' + argument + b't' + draw.choice([b'R', b'\x81'])
        members[name] = program[:2] + call + b'0' + program[2:]

    return rewrite(content, draw, change)


MAKES_SUMS_ANEW = {exchange_members, drop_member, change_member, change_pickle, call_something}
DAMAGES = [
    flip, flip, overwrite, cut, cut_out, append, exchange_members, drop_member, change_member, change_pickle,
    change_pickle, call_something,
]  # fmt: skip


def same(one: object, two: object) -> bool:
    if type(one) is not type(two):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, HistoryBuffer):
        return one.data[0].tolist() == two.data[0].tolist() and one.data[1].tolist() == two.data[1].tolist()
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def read_damaged(path: Path) -> dict | None:
    """Read a file and load it as the tools do; None where it is refused in words."""
    started = time.monotonic()
    try:
        checkpoint = read_checkpoint(str(path))
        load_weights(net(), checkpoint, str(path))
    except UserError as error:
        text = str(error)
        assert str(path) in text
        assert 'weights_only' not in text
        assert '\x1b' not in text
        assert len(text) < 3000
        checkpoint = None
    assert time.monotonic() - started < LONGEST
    assert os.listdir(path.parent) == [path.name], 'code in a checkpoint was executed'
    return checkpoint


def damage_and_read(numbers: range, whole: Path, folder: Path) -> dict[str, int]:
    """Of each damage what came of it; fails where a file was read wrongly without a word."""
    path, outcomes = folder / 'epoch_1.pth', dict(refused=0, unharmed=0, altered=0)
    original = read_checkpoint(str(whole))
    for number in numbers:
        ours, damage = number % 2 == 0, DAMAGES[number // 2 % len(DAMAGES)]
        path.write_bytes(whole.read_bytes())
        if ours:
            seal(path)
        before = path.read_bytes()
        after = damage(before, random.Random(number))
        path.write_bytes(after)
        checkpoint = read_damaged(path)
        what = f'damage {number}, {damage.__name__} of a file of {"ours" if ours else "another program"}'
        if checkpoint is None:
            outcomes['refused'] += 1
        elif same(checkpoint, original):
            outcomes['unharmed'] += 1
            assert not ours or after == before, f'{what}: not found'
        else:
            outcomes['altered'] += 1
            assert not ours and damage in MAKES_SUMS_ANEW, f'{what}: read wrongly'
    return outcomes


@pytest.mark.fault('6.7')
def test_damages_that_were_once_missed(whole, tmp_path, monkeypatch):
    """Of 12,000 damages to files of another program, those read wrongly or described in raw bytes."""
    monkeypatch.chdir(tmp_path)
    for number in (7733, 8285, 17933, 21245, 24413):
        assert damage_and_read(range(number, number + 1), whole, tmp_path)['refused'] == 1


@pytest.mark.fault('6.6', '6.7', 'd')
def test_fifty_damaged_checkpoints(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert damage_and_read(range(50), whole, tmp_path)['refused'] > 30


@pytest.mark.fuzz
@pytest.mark.fault('6.6', '6.7', 'd')
def test_five_hundred_damaged_checkpoints(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = damage_and_read(range(50, 550), whole, tmp_path)
    print(outcomes)
    assert outcomes['refused'] > 300
