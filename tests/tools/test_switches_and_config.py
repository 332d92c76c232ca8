"""A switch that may stand without a value does not take the config for one."""

import importlib.util
import sys

import pytest

from tests.running import ROOT


@pytest.fixture
def parse_args(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    spec = importlib.util.spec_from_file_location('train_tool', ROOT / 'tools' / 'train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.parse_args
    sys.modules.pop('_arguments', None)


@pytest.mark.parametrize(
    ('argv', 'name', 'value'),
    [
        (['--amp', 'c.py'], 'amp', 'fp16'),
        (['--amp', 'bf16', 'c.py'], 'amp', 'bf16'),
        (['--ema', 'c.py'], 'ema', 0.0002),
        (['--ema', '0.01', 'c.py'], 'ema', 0.01),
        (['--resume', 'c.py'], 'resume', 'auto'),
        (['--resume', 'a.pth', 'c.py'], 'resume', 'a.pth'),
        (['c.py', '--ema'], 'ema', 0.0002),
    ],
)
def test_the_config_stays_the_config(parse_args, argv, name, value):
    args = parse_args(argv)
    assert args.config == 'c.py'
    assert getattr(args, name) == value


@pytest.mark.parametrize(('switch', 'least'), [('--threads', 1), ('--workers', 0)])
def test_a_number_that_cannot_be(parse_args, switch, least, capsys):
    with pytest.raises(SystemExit):
        parse_args(['c.py', switch, str(least - 1)])
    assert f'expected at least {least}, got {least - 1}' in capsys.readouterr().err
