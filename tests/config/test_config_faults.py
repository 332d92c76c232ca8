"""Faults of config files are errors that name the file and line or the key, and what was meant."""

import argparse
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from mdvision import UserError
from mdvision.commands import faults
from mdvision.config.faults import check_config, find_config_faults
from mdvision.config.overrides import apply_overrides, literal
from mdvision.config.reading import find_unread_names, load_config, read_files
from mdvision.config.values import find_missing_sections
from mdvision.console import import_upstream
from tests.engine.toy import make_runner

ROOT = Path(__file__).resolve().parents[2]
MINI = f"_base_ = '{ROOT}/configs/emanet/faster_rcnn_minivoc.py'\n"
SHIPPED = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)


@pytest.fixture
def config(tmp_path):
    """Writes a config and reads it with all checks."""

    def read(text: str, *overrides: str, base: str = MINI) -> Config:
        file = tmp_path / 'mine.py'
        file.write_text(base + text)
        cfg = load_config(str(file))
        if cfg.get('default_scope'):
            import_upstream(cfg.default_scope)
        apply_overrides(cfg, list(overrides))
        check_config(cfg, str(file))
        return cfg

    return read


@pytest.mark.fault('3.2')
@pytest.mark.parametrize(
    ('text', 'near'),
    [
        (
            'optim_wraper = dict(optimizer=dict(lr=1))',
            "mine.py:2.*'optim_wraper'. Did you mean 'optim_wrapper'",
        ),
        ('train_dataloadr = dict(batch_size=1)', "Did you mean 'train_dataloader'"),
        ('custom_hook = []', "Did you mean 'custom_hooks'"),
        ('\nif True:\n    modle = dict()', "mine.py:4.*Did you mean 'model'"),
    ],
)
def test_a_misspelt_section_of_a_file(config, text, near):
    with pytest.raises(UserError, match=near):
        config(text)


@pytest.mark.fault('3.2', '3.1')
@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train_cfg = dict(max_epoch=3)', "train_cfg: .*'max_epoch'. Did you mean 'max_epochs'"),
        ('train_dataloader = dict(batchsize=3)', "train_dataloader: .*Did you mean 'batch_size'"),
        (
            'val_dataloader = dict(dataset=dict(anno_file=1))',
            "val_dataloader.dataset: .*Did you mean 'ann_file'",
        ),
        ('randomness = dict(sed=1)', "randomness: .*Did you mean 'seed'"),
        ('optim_wrapper = dict(clip_grad=dict(max_nrm=1))', "clip_grad: .*Did you mean 'max_norm'"),
        ('model = dict(backbone=dict(stage_block=1))', "model.backbone: .*Did you mean 'stage_blocks'"),
        ('default_hooks = dict(checkpoint=dict(intervall=1))', "Did you mean 'interval'"),
    ],
)
def test_a_misspelt_key_of_a_file(config, text, message):
    with pytest.raises(UserError, match=message):
        config(text)


@pytest.mark.fault('3.2')
def test_a_name_that_nothing_reads_is_a_warning_with_the_key_that_is_read(tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text(MINI + 'max_epochs = 3\nfactor = 2\nseed = factor\ndata = dict()\n')
    found = find_unread_names(read_files(file))
    assert [(f.severity, f.text.split("'")[1]) for f in found] == [
        ('warning', name) for name in ('max_epochs', 'seed', 'data')
    ]
    assert 'train_cfg.max_epochs' in found[0].fix
    assert 'train_dataloader' in found[2].fix


def test_a_key_that_no_class_declares_is_a_warning(config):
    cfg = config('')
    cfg.env_cfg.something = 1
    (found,) = find_config_faults(cfg, 'mine.py')
    assert (found.severity, found.where) == ('warning', 'env_cfg')
    assert 'cudnn_benchmark' in found.text


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_has_no_fault(path):
    cfg = load_config(str(path))
    import_upstream(cfg.default_scope)
    assert find_config_faults(cfg, str(path)) == []
    assert find_unread_names(read_files(path)) == []


@pytest.mark.parametrize('host', ['mmdet', 'mmpretrain'])
def test_a_stock_config_has_no_unknown_key(host):
    """One config of each folder of the host's; classes may want packages that are not installed."""
    import importlib

    import_upstream(host)
    folder = Path(importlib.import_module(host).__file__).parent / '.mim' / 'configs'
    seen = 0
    for family in sorted(path for path in folder.iterdir() if path.name != '_base_'):
        for path in sorted(family.glob('*_*.py'))[:1]:
            try:
                cfg = load_config(str(path))
            except UserError as error:  # upstream's own mistakes
                assert 'one of its base files is missing' in str(error) or 'cannot be read' in str(error), (
                    error
                )
                continue
            if cfg.get('model') is not None:
                cfg.setdefault('default_scope', host)
                found = find_config_faults(cfg, str(path))
                assert [
                    str(f) for f in found if f.severity == 'error' and 'is registered' not in f.text
                ] == []
                seen += 1
    assert seen > 50


@pytest.mark.fault('i')
def test_circular_bases_are_named_with_the_chain_at_once(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = './b.py'\n")
    (tmp_path / 'b.py').write_text("_base_ = ['./c.py']\n")
    (tmp_path / 'c.py').write_text("_base_ = './b.py'\n")
    started = time.time()
    with pytest.raises(UserError, match=r'circular: .*b\.py -> .*c\.py -> .*b\.py'):
        load_config(str(tmp_path / 'a.py'))
    (tmp_path / 'd.py').write_text("_base_ = './d.py'\n")
    with pytest.raises(UserError, match=r'circular: .*d\.py -> .*d\.py'):
        load_config(str(tmp_path / 'd.py'))
    assert time.time() - started < 1


def test_two_ways_to_one_base_are_no_circle(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = './b.py'\nmodel = dict(x=1)\n")
    (tmp_path / 'b.py').write_text("_base_ = './c.py'\n")
    (tmp_path / 'c.py').write_text('model = dict(type=1)\n')
    assert load_config(str(tmp_path / 'a.py')).model == dict(type=1, x=1)


@pytest.mark.fault('i2')
def test_a_broken_file_is_named_with_its_line(tmp_path):
    top, base = tmp_path / 'top.py', tmp_path / 'base.py'
    top.write_text("_base_ = './base.py'\n")
    base.write_text('model = dict()\ntrain_cfg = dict(\n')
    with pytest.raises(
        UserError, match=r"base\.py:2 cannot be read as a config: SyntaxError: '\(' was never"
    ):
        load_config(str(top))
    base.write_text('model = dict()\n\nx = 1 / 0\n')
    with pytest.raises(UserError, match=r'base\.py:3 cannot be read as a config: ZeroDivisionError'):
        load_config(str(top))
    base.write_text('model = dict()\n')
    top.write_text("_base_ = './base.py'\ny = 1\nz = nothing\n")
    with pytest.raises(UserError, match=r"top\.py:3 cannot be read as a config: NameError: name 'nothing'"):
        load_config(str(top))


@pytest.mark.fault('3.14')
@pytest.mark.parametrize(
    ('base', 'message'),
    [
        ("'./none.py'", r'mine\.py: one of its base files is missing: .*none\.py'),
        (
            "'mmdet::retinanet/retinanet_r50_fpn_1x_cocoo.py'",
            "no config.*Did you mean 'retinanet/retinanet_r50_fpn",
        ),
        ("'mmnothing::a/b.py'", 'mmnothing is not installed'),
        ('3', '_base_ is 3; expected the path'),
    ],
)
def test_a_missing_base(config, base, message):
    with pytest.raises(UserError, match=message):
        config('', base=f'_base_ = {base}\n')


@pytest.mark.fault('3.15')
def test_two_bases_with_one_section(config, tmp_path):
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').write_text('model = dict()\n')
    with pytest.raises(UserError, match=r'mine\.py .*Duplicate key.*in only one of the _base_ files'):
        config('', base="_base_ = ['./a.py', './b.py']\n")


@pytest.mark.fault('i3', '3.18', '3.11', '3.5')
@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train_dataloader = [1]', 'train_dataloader: expected a dict, got '),
        ('optim_wrapper = [dict()]', 'optim_wrapper: expected a dict, got '),
        ('custom_hooks = dict(type=1)', 'custom_hooks: expected a list, got'),
        ("val_evaluator = ['x']", "val_evaluator.0: expected a dict, got 'x'"),
        ("randomness = dict(seed='a')", "randomness.seed: expected a whole number of 0 or more, got 'a'"),
        (
            'train_cfg = dict(val_interval=0)',
            'train_cfg.val_interval: expected a whole number of 1 or more, got 0',
        ),
        (
            "train_dataloader = dict(batch_size='4')",
            "train_dataloader.batch_size: expected a whole .*got '4'",
        ),
        (
            'val_dataloader = dict(num_workers=-1)',
            'val_dataloader.num_workers: expected .* of 0 or more, got -1',
        ),
        ("optim_wrapper = dict(optimizer=dict(lr='0.1'))", "optimizer.lr: expected a number .*got '0.1'"),
        (
            "optim_wrapper = dict(clip_grad=dict(max_norm='1'))",
            "max_norm: expected a number, got the string '1'",
        ),
        (
            'optim_wrapper = dict(optimizer=dict(momentum=2.5))',
            'momentum: expected a number from 0 to 1, got 2.5',
        ),
        ('optim_wrapper = dict(optimizer=dict(lr=float("nan")))', 'lr: expected a number .*got nan'),
        (
            'default_hooks = dict(checkpoint=dict(interval=2.5))',
            'checkpoint.interval: expected a whole .*got 2.5',
        ),
        ('default_hooks = dict(checkpont=dict(type=1))', "'checkpont'. Did you mean 'checkpoint'"),
        (
            'default_hooks = dict(foo=None)',
            'default_hooks.foo: expected a dict with the type of a hook, got None',
        ),
        ('default_hooks = dict(foo=dict(a=1))', "default_hooks.foo: this hook has no type: {'a': 1}"),
        ('custom_hooks = [dict(a=1)]', "custom_hooks.0: this hook has no type: {'a': 1}"),
    ],
)
def test_a_value_that_cannot_be_right(config, text, message):
    with pytest.raises(UserError, match=message):
        config(text + '\n', base=MINI if 'dataloader = [' not in text and 'wrapper = [' not in text else '')


@pytest.mark.fault('i3')
@pytest.mark.parametrize('text', ['', '# nothing\n', '"""Nothing."""\n'])
def test_an_empty_config(config, text):
    with pytest.raises(UserError, match=r'mine\.py: the config is empty'):
        config(text, base='')


@pytest.mark.fault('3.18')
def test_workers_that_could_not_persist_are_a_note(config):
    cfg = config('train_dataloader = dict(num_workers=0, persistent_workers=True)')
    (found,) = find_config_faults(cfg, 'mine.py')
    assert found.severity == 'note'
    assert 'no workers to persist' in found.text


@pytest.mark.fault('3.6', 'N13')
@pytest.mark.parametrize(
    ('override', 'message'),
    [
        (
            'optim_wrapper.optimizer.type=AdamWW',
            "optimizer.type: no class 'AdamWW' is registered. Did you mean 'AdamW'",
        ),
        ('optim_wrapper.optimizer.type=Adamm', "Did you mean 'Adam'"),
        (
            'param_scheduler.0.type=CosineAnealingLR',
            "param_scheduler.0.type: .*Did you mean 'CosineAnnealingLR'",
        ),
        ('model.type=mdvision.FasterRCN', "model.type: .*Did you mean 'FasterRCNN'"),
        ('default_hooks.logger.type=LoggerHok', "default_hooks.logger.type: .*'LoggerHook'"),
        ('val_evaluator.type=mdvision.DetectionMetrc', "'DetectionMetric'"),
        ('train_dataloader.dataset.type=mdvision.VOCDatset', "'VOCDataset'"),
    ],
)
def test_a_class_that_no_registry_has(config, override, message):
    with pytest.raises(UserError, match=message):
        config('', override)


@pytest.mark.fault('3.6')
def test_a_forgotten_default_scope_is_the_hint(config):
    with pytest.raises(
        UserError, match=r"write type='mmpretrain\.ImageClassifier', or default_scope = 'mmpretrain'"
    ):
        config("model = dict(type='ImageClassifier')", base='')


@pytest.mark.fault('3.10')
@pytest.mark.parametrize('text', ['[3', '{"a": 1', "dict(type='X'", '[dict(type=X)]', '[1, a]'])
def test_a_value_that_is_not_closed_or_quoted_is_refused(text):
    with pytest.raises(UserError, match='is not a valid value'):
        literal(text)


@pytest.mark.parametrize(
    'text', ['(1) my data', '[2024] pictures', 'a, b', 'epoch_{}.pth', '{x}.png', '__import__("os")']
)
def test_text_stays_text(text):
    assert literal(text) == text


def test_a_long_value_is_cut(config):
    with pytest.raises(UserError) as error:
        config('', f'train_cfg.max_epochs={"9" * 5000}')
    assert len(str(error.value)) < 400


@pytest.mark.fault('i3')
def test_what_is_missing_to_train_is_named():
    (found, *others) = find_missing_sections(Config(dict(model=dict())))
    assert (found.where, len(others)) == ('train_dataloader', 2)
    sections = {name: dict(a=1) for name in ('model', 'train_dataloader', 'optim_wrapper')}
    (found,) = find_missing_sections(Config(dict(train_cfg=dict(by_epoch=True, max_epochs=None), **sections)))
    assert 'training length is not set' in found.text
    assert find_missing_sections(Config(dict(train_cfg=dict(max_iters=3), **sections))) == []


def complaint(capsys, command) -> str:
    """What a tool says of the fault of ``command``, on one line."""
    assert faults.run(lambda args: command(), argparse.Namespace(debug=False)) == 1
    said = capsys.readouterr().err
    assert 'Traceback' not in said
    return ' '.join(said.split())


@pytest.mark.fault('3.16', '3.1')
def test_arguments_of_the_type_of_the_base_name_delete(tmp_path, capsys):
    wrong = dict(type='StepLR', T_max=3, step_size=1)
    said = complaint(capsys, lambda: make_runner(tmp_path, param_scheduler=[wrong]).train())
    assert "StepLR has no argument 'T_max'" in said
    assert 'param_scheduler.0 (StepLR) cannot be built' in said
    assert '_delete_=True' in said


@pytest.mark.fault('3.13', 'N13')
@pytest.mark.parametrize('host', ['mmdet', 'mmpretrain'])
def test_wrong_channels_name_the_part_with_expected_and_got(host, capsys):
    import torch
    from mmengine.registry import MODELS, init_default_scope

    import_upstream(host)
    init_default_scope(host)
    backbone = dict(type='mdvision.AttentionResNet', depth=18, base_channels=8, out_indices=(1, 2))
    if host == 'mmdet':
        neck = dict(type='FPN', in_channels=[16, 99], out_channels=8, num_outs=2)
        model = dict(type='RetinaNet', backbone=backbone, neck=neck, bbox_head=dict(
            type='RetinaHead', num_classes=2, in_channels=8))  # fmt: skip
        expected = 'model.neck.lateral_convs.1.conv (Conv2d) failed: expected 99 in_channels, got 32'
    else:
        head = dict(type='LinearClsHead', num_classes=2, in_channels=64)
        model = dict(
            type='ImageClassifier', backbone=backbone, head=head, neck=dict(type='GlobalAveragePooling')
        )
        expected = 'model.head.fc (Linear) failed: expected 64 in_features, got 32'
    built = MODELS.build(model)
    said = complaint(capsys, lambda: built(torch.zeros(1, 3, 64, 64), mode='tensor'))
    assert expected in said
    assert f'set in_channels of model.{"neck" if host == "mmdet" else "head"}' in said


@pytest.mark.fault('N14')
def test_plugins_of_a_basic_block_lead_to_a_backbone_that_has_them(capsys):
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    import_upstream('mmdet')
    init_default_scope('mmdet')
    plugins = [dict(cfg=dict(type='mdvision.CBAM'), position='after_conv1')]
    said = complaint(capsys, lambda: MODELS.build(dict(type='ResNet', depth=18, plugins=plugins)))
    assert 'Not implemented yet' in said
    assert 'mdvision.AttentionResNet' in said


@pytest.mark.fault('3.10')
def test_an_assertion_without_a_message_shows_its_line(capsys):
    from mmdet.models.necks import FPN

    said = complaint(capsys, lambda: FPN(in_channels='[3', out_channels=8, num_outs=1))
    assert 'AssertionError in `assert isinstance(in_channels, list)`' in said


@pytest.mark.fault('6.1')
def test_yaml_runs_no_code(tmp_path):
    file, marker = tmp_path / 'config.yaml', tmp_path / 'marker'
    file.write_text(f'model: !!python/object/apply:os.mkdir ["{marker}"]\n')
    with pytest.raises(UserError, match=r'config\.yaml.* cannot be read as a config'):
        load_config(str(file))
    assert not marker.exists()
    file.write_text('model:\n  type: X\ntrain_cgf: {}\n')
    with pytest.raises(UserError, match=r"'train_cgf'\. Did you mean 'train_cfg'"):
        load_config(str(file))


@pytest.mark.parametrize('name', ['picture.jpg', 'epoch_1.pth', 'bytes.py'])
def test_a_file_of_another_kind_is_no_config(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match=f'{name} is not a config'):
        load_config(str(tmp_path / name))
