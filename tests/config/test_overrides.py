"""Overrides reach the key they name, or are refused with the nearest keys."""

import pytest
from mmengine.config import Config

from mdvision import UserError
from mdvision.checks.data import check_data_files
from mdvision.config.overrides import apply_overrides, literal
from mdvision.config.reading import load_config
from mdvision.console import import_upstream
from tests.data_sets import write_coco

CONFIG = 'configs/emanet/faster_rcnn_minivoc.py'


@pytest.fixture
def cfg():
    return load_config(CONFIG)


@pytest.mark.fault('1.33')
@pytest.mark.parametrize(
    ('override', 'expected'),
    [
        ('train_dataloader.batch_size=3', 3),
        ('optim_wrapper.optimizer.lr=1e-2', 0.01),
        ('work_dir=some folder/données', 'some folder/données'),
        ('train_dataloader.dataset.data_root=a b', 'a b'),
        ('randomness.seed=7', 7),
        ('default_hooks.logger.interval=5', 5),
        ('model.neck.in_channels=[1,2,3,4]', [1, 2, 3, 4]),
        ('model.rpn_head.anchor_generator.scales.0=5', 5),
        ('model.backbone.with_cp=true', True),  # an argument of the class that the config does not set
        ('train_dataloader.dataset.indices=8', 8),  # an argument of a base class
        ('train_dataloader.dataset.pipeline.3.prob=0', 0),
        ('train_dataloader.drop_last=True', True),
        ('load_from=None', None),
        ('optim_wrapper.clip_grad.norm_type=1', 1),
        ("optim_wrapper.paramwise_cfg.custom_keys={'a': 1}", {'a': 1}),
        ('env_cfg.dist_cfg.timeout=60', 60),
        ("default_hooks.stop={'type': 'EarlyStoppingHook'}", {'type': 'EarlyStoppingHook'}),
        ('train_cfg.val_begin=2', 2),
        ('model.neck.norm_cfg.requires_grad=False', False),
        ("optim_wrapper.clip_grad={'max_norm': 1}", {'max_norm': 1}),
    ],
)
def test_a_value_arrives_with_its_type(cfg, override, expected):
    apply_overrides(cfg, [override])
    node = cfg
    for part in override.partition('=')[0].split('.'):
        node = node[int(part)] if part.isdigit() else node[part]
    assert node == expected
    assert type(node) is type(expected) or isinstance(node, dict)


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('optim_wraper.optimizer.lr=1', "no such key. Did you mean 'optim_wrapper'"),
        ('optim_wrapper.optimizer.lrr=1', "no key 'lrr'. Did you mean 'lr'"),
        ('train_dataloader.batchsize=1', "Did you mean 'batch_size'"),
        ('model.backbone.base_chanels=1', "Did you mean 'base_channels'"),
        ('train_dataloader.dataset.data_rot=x', "Did you mean 'data_root'"),
        ('max_epochs=3', r'plain variable .* would change nothing.* is in .*train_cfg\.max_epochs'),
        ('train_cfg', 'expected key=value'),
        ('train_cfg.max_epochs.x=1', 'train_cfg.max_epochs is .* no keys below'),
        ('param_scheduler.9.T_max=1', 'a list of 2; expected an index'),
        ('optim_wrapper.optimizer.lr=1e-2x', "expected a value like 0.00.*, got '1e-2x'"),
        ('auto_scale_lr.enable=no', "expected a value like True, got 'no'"),
        ('model.backbone=resnet', "expected a value like a dict, got 'resnet'"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(cfg, override, message):
    with pytest.raises(UserError, match=message):
        apply_overrides(cfg, [override])


def test_a_missing_config_lists_near_ones():
    near = r"does not exist .* Did you mean 'configs/emanet/faster_rcnn_voc.py'"
    with pytest.raises(UserError, match=near):
        load_config('configs/emanet/faster_rcn_voc.py')


def test_a_config_with_an_error_names_the_file(tmp_path):
    (tmp_path / 'broken.py').write_text("_base_ = './missing.py'\n")
    with pytest.raises(UserError, match=r'broken\.py'):
        load_config(str(tmp_path / 'broken.py'))
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    with pytest.raises(UserError, match=r'broken\.py:1 cannot be read'):
        load_config(str(tmp_path / 'broken.py'))


def test_data_root_alone_is_set_in_every_data_set_but_only_where_there_is_one():
    from mmengine.config import Config

    def loader(*roots):
        datasets = [dict(type='X', data_root=root) for root in roots]
        return dict(dataset=datasets[0] if len(roots) == 1 else dict(type='Concat', datasets=datasets))

    cfg = Config(dict(train_dataloader=loader('a', 'a'), val_dataloader=loader('a'), test_dataloader=None))
    apply_overrides(cfg, ['data_root=my data'])
    assert [d.data_root for d in cfg.train_dataloader.dataset.datasets] == ['my data'] * 2
    assert cfg.val_dataloader.dataset.data_root == 'my data'
    cfg = Config(dict(train_dataloader=loader('a', 'b')))
    with pytest.raises(UserError, match='its data sets are in a, b'):
        apply_overrides(cfg, ['data_root=c'])
    with pytest.raises(UserError, match='no data set has one'):
        apply_overrides(Config(dict(model=dict())), ['data_root=c'])


def test_a_value_is_a_literal_or_the_text():
    assert literal("dict(type='SqueezeExcite', reduction=8)") == dict(type='SqueezeExcite', reduction=8)
    assert literal("[dict(a=dict(b=1)), {'c': 2}]") == [dict(a=dict(b=1)), dict(c=2)]
    assert literal('None') is literal('none') is None
    assert (literal('1e-3'), literal('true'), literal('a b')) == (1e-3, True, 'a b')
    assert literal('dict(1)') == 'dict(1)'
    assert literal('list(a=1)') == 'list(a=1)'


@pytest.mark.parametrize('folder', ['/my pictures/2024', "'/my pictures/2024'"])
def test_the_data_root_may_be_quoted(folder):
    cfg = load_config('configs/image_folder/resnet18.py')
    apply_overrides(cfg, [f'data_root={folder}'])
    assert cfg.train_dataloader.dataset.data_root == '/my pictures/2024'


def test_the_data_root_of_coco_is_that_of_its_metric_too():
    cfg = load_config('configs/emanet/faster_rcnn_coco.py')
    apply_overrides(cfg, ['data_root=/elsewhere'])
    assert cfg.val_dataloader.dataset.data_root == '/elsewhere'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator[1].ann_file == '/elsewhere/annotations/instances_val2017.json'


def test_absent_coco_files_are_named_with_their_source_and_layout(tmp_path):
    cfg = load_config('configs/emanet/faster_rcnn_coco.py')
    apply_overrides(cfg, [f'data_root={tmp_path}'])
    import_upstream('mmdet')
    for finding in check_data_files(cfg):
        assert finding.severity == 'error'
        for part in ('instances_', '2017.json', 'cocodataset.org', 'layout:', 'data_root=FOLDER'):
            assert part in str(finding)
    assert 'instances_train2017.json' in str(check_data_files(cfg)[0])
    write_coco(tmp_path)
    assert [finding for finding in check_data_files(cfg) if finding.severity == 'error'] == []


@pytest.mark.fault('D20')
@pytest.mark.parametrize('slash', ['', '/'])
def test_data_root_moves_the_files_of_the_metrics_too(slash):
    """mmdet writes the folder with a slash at its end, and joins the two as text."""
    root = 'data/coco/'
    metric = dict(type='CocoMetric', ann_file=root + 'annotations/val.json', outfile_prefix='out/coco')
    panoptic = dict(type='CocoPanopticMetric', seg_prefix=root + 'annotations/panoptic')
    loader = dict(dataset=dict(type='CocoDataset', data_root=root))
    cfg = Config(
        dict(
            train_dataloader=loader, val_dataloader=loader, val_evaluator=[metric, panoptic],
            test_evaluator=dict(metric),
        )
    )  # fmt: skip
    apply_overrides(cfg, [f'data_root=/new/coco{slash}'])
    assert cfg.val_evaluator[0].ann_file == cfg.test_evaluator.ann_file == '/new/coco/annotations/val.json'
    assert cfg.val_evaluator[1].seg_prefix == '/new/coco/annotations/panoptic'
    assert cfg.val_evaluator[0].outfile_prefix == 'out/coco'
