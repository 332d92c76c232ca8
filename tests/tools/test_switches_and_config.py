"""A switch that may stand without a value does not take the config for one."""

import pytest

from mdvision.commands.train import parse_args


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
def test_the_config_stays_the_config(argv, name, value):
    args = parse_args(argv)
    assert args.config == 'c.py'
    assert getattr(args, name) == value


@pytest.mark.parametrize(('switch', 'least'), [('--threads', 1), ('--workers', 0)])
def test_a_number_that_cannot_be(switch, least, capsys):
    with pytest.raises(SystemExit):
        parse_args(['c.py', switch, str(least - 1)])
    assert f'expected at least {least}, got {least - 1}' in capsys.readouterr().err
