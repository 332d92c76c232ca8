"""The validation loss of detectors: what it is, that it costs the training nothing, and where it stands."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS
from test_every_config import NARROW, parts_of, shrink_detector

from mdvision import UserError
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.engine import detection_val_loop
from mdvision.engine.hooks.checkpoint import CheckpointHook
from mdvision.engine.hooks.csv_log import read_rows
from mdvision.engine.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
MINI, C4 = 'configs/emanet/faster_rcnn_minivoc.py', 'configs/emanet/faster_rcnn_c4_voc.py'
RETINANET = """
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py']
model = dict(
    backbone=dict(_delete_=True, type='mdvision.EMANet', depth=50, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    bbox_head=dict(num_classes=3, in_channels=32, feat_channels=32, stacked_convs=1))
"""


@pytest.fixture
def detector(mini_voc, tmp_path, plain_config_text):
    """Makes the runner of a narrow detector: 8 training images in batches of 4, 4 to validate in twos."""
    import_upstream('mmdet')

    def make(kind='fpn', folder='run', **changes) -> Runner:
        cfg = Config.fromfile(ROOT / (C4 if kind == 'c4' else MINI))
        shrink_detector(cfg, mini_voc)
        fill_config(cfg)
        if kind == 'retinanet':
            cfg.model = Config.fromstring(RETINANET, '.py').model
            cfg.model.backbone.update(NARROW['EMANet'])
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False)
            for part in parts_of(loader.dataset):
                part.serialize_data = False  # which collects garbage, half a second each time
        # Half as large again as the pictures.
        next(step for step in cfg.val_dataloader.dataset.pipeline if 'Resize' in step.type).scale = (144, 108)
        if kind != 'c4':
            cfg.train_dataloader.batch_size = 4
            cfg.train_dataloader.dataset.indices = 8
            cfg.val_dataloader.dataset.indices = 4
        cfg.val_cfg = dict(type='mdvision.DetectionValLoop')
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}_{folder}'
        cfg.work_dir = str(tmp_path / folder)
        cfg.merge_from_dict(changes)
        return Runner.from_cfg(cfg)

    return make


def validation(runner: Runner) -> dict:
    """The metrics of a validation without a training, so without a folder for the best checkpoint."""
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, CheckpointHook)]
    return runner.val_loop.run()


def losses_of(metrics: dict) -> dict:
    return {key: value for key, value in metrics.items() if 'loss' in key}


@pytest.mark.parametrize('kind', ['fpn', 'c4', 'retinanet'])
def test_it_is_the_loss_of_the_same_images_prepared_as_in_training(detector, kind):
    """Boxes loaded before Resize, as a training pipeline has them, give the same to the last bit."""
    runner = detector(kind)
    metrics = losses_of(validation(runner))
    names = {'loss', 'loss_cls', 'loss_bbox'}
    names |= set() if kind == 'retinanet' else {'loss_rpn_cls', 'loss_rpn_bbox'}
    assert set(metrics) == names
    assert sum(value for key, value in metrics.items() if key != 'loss') == pytest.approx(metrics['loss'])

    data_set = copy.deepcopy(runner.cfg.val_dataloader.dataset)
    load, resize, annotations, pack = data_set.pipeline
    assert resize.type == 'Resize' and annotations.type == 'LoadAnnotations'
    data_set.pipeline = [load, annotations, resize, pack]
    data_set = DATASETS.build(data_set)
    expected = dict.fromkeys(names, 0.0)
    batch = runner.cfg.val_dataloader.batch_size
    with torch.no_grad():
        for index in range(len(data_set) // batch):
            images = [data_set[index * batch + i] for i in range(batch)]
            assert all(image['data_samples'].scale_factor == (1.5, 1.5) for image in images)
            data = {key: [image[key] for image in images] for key in images[0]}
            data = runner.model.data_preprocessor(data, False)
            torch.manual_seed(index)
            scalars = runner.model.parse_losses(runner.model(**data, mode='loss'))[1]
            for name in names:
                expected[name] += float(scalars[name]) * batch / len(data_set)
    assert metrics == pytest.approx(expected, rel=1e-6)


def test_training_goes_on_as_without_it(detector):
    """Flips, the order of the images and the drawn proposals are random; batch norm has statistics."""
    trained = []
    for images in (None, 0):
        changes = {'train_cfg.max_epochs': 2, 'val_cfg.loss_images': images}
        changes |= {'train_dataloader.dataset.indices': 4, 'val_dataloader.dataset.indices': 2}
        runner = detector(folder=f'run_{images}', **changes)
        runner.train()
        assert ('val/loss' in runner.message_hub.log_scalars) == (images is None)
        trained.append(runner.model.state_dict())
    one, other = trained
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_is_logged_beside_the_metrics_and_features_are_computed_once(detector):
    runner = detector()
    calls = []
    runner.model.backbone.register_forward_hook(lambda module, *_: calls.append(module.training))
    runner.train()
    assert calls.count(False) == len(runner.val_dataloader) == 2
    rows = read_rows(Path(runner.work_dir) / 'metrics.csv')
    row = next(row for row in rows if row['phase'] == 'val')
    assert float(row['val/loss']) > float(row['val/loss_cls']) > 0
    assert 0 <= float(row['voc12/mAP50']) <= 1
    assert not row['loss']
    log = next(Path(runner.work_dir).glob('*/*.log')).read_text()
    assert re.search(r'epoch 1  voc12/mAP50 .*  val/loss \d\.\d{4} \(rpn_cls \d\.\d{3}, ', log)


def test_the_first_images_only(detector):
    runner = detector(**{'val_cfg.loss_images': 1})
    counts = runner.val_loop._counts
    first = losses_of(validation(runner))
    assert first and runner.val_loop._counts['loss'] == 2 and counts is not runner.val_loop._counts
    runner.val_loop.loss_images = None
    whole = losses_of(validation(runner))
    assert runner.val_loop._counts['loss'] == 4
    assert whole != first


@pytest.mark.parametrize('kind', ['fpn', 'c4', 'retinanet'])
def test_images_without_objects_have_a_loss(detector, kind):
    runner = detector(kind)
    data_set = runner.val_dataloader.dataset
    for index in range(len(data_set)):
        data_set.data_list[index]['instances'] = []
    losses = losses_of(validation(runner))
    assert losses['loss_cls'] > 0
    assert losses['loss_bbox'] == 0
    assert all(torch.tensor(value).isfinite() for value in losses.values())


def test_several_processes_give_the_mean_over_all_images(detector, monkeypatch):
    """One that had three images, in one of which a part was not finite."""
    runner = detector()
    alone = losses_of(validation(runner))
    other = (dict.fromkeys(alone, 3.0) | {'loss_bbox': float('nan')}, dict.fromkeys(alone, 3))
    monkeypatch.setattr(detection_val_loop, 'get_world_size', lambda: 2)
    monkeypatch.setattr(detection_val_loop, 'all_gather_object', lambda own: [own, other])
    together = runner.val_loop._mean_losses()
    assert together['loss'] == pytest.approx((4 * alone['loss'] + 3) / 7)
    assert together['loss_bbox'] != together['loss_bbox']


def test_averaged_weights_have_their_own_loss(detector):
    """That of the state_dict of the checkpoint."""
    hook = dict(type='mmengine.EMAHook', momentum=0.01, begin_iter=0)
    # The checkpoint is that before the validation: a best one would be written after it.
    changes = {'optim_wrapper.optimizer.lr': 0.1, 'default_hooks.checkpoint.save_best': None}
    runner = detector(custom_hooks=[hook], **changes)
    runner.train()
    averaged = runner.message_hub.get_scalar('val/loss').current()
    runner._hooks = [one for one in runner.hooks if not isinstance(one, HOOKS.get('EMAHook'))]
    trained = validation(runner)['loss']
    checkpoint = torch.load(Path(runner.work_dir) / 'epoch_1.pth', weights_only=False)
    runner.model.load_state_dict(checkpoint['state_dict'])
    assert averaged == pytest.approx(validation(runner)['loss'], rel=1e-6)
    assert averaged != pytest.approx(trained, rel=0.01)


LOAD, RESIZE = dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 72), keep_ratio=True)
BOXES = dict(type='LoadAnnotations', with_bbox=True)


def pack(*keys):
    return dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', *keys))


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'val_cfg.loss_images': -1}, r'val_cfg\.loss_images: expected .* got -1'),
        (
            {'val_dataloader.dataset.pipeline': [LOAD, RESIZE, pack('scale_factor')]},
            r'loads none: LoadImageFromFile, Resize, PackDetInputs\. Put .*after Resize.*loss_images=0',
        ),
        (
            {'val_dataloader.dataset.pipeline': [LOAD, BOXES, RESIZE, pack('scale_factor')]},
            r'Resize after LoadAnnotations.*Put LoadAnnotations after Resize',
        ),
        (
            {'val_dataloader.dataset.pipeline': [LOAD, dict(RESIZE, scale=(48, 36)), BOXES, pack()]},
            r"scale_factor of image '\w+', which was resized.*meta_keys of PackDetInputs",
        ),
    ],
)
def test_what_would_be_a_wrong_number_is_an_error(detector, changes, said):
    with pytest.raises(UserError, match=said):
        validation(detector(**changes))


def test_it_is_for_detectors(write_classifier, tmp_path):
    cfg = Config.fromfile(write_classifier())
    import_upstream('mmpretrain')
    cfg.merge_from_dict(dict(val_cfg=dict(type='mdvision.DetectionValLoop'), work_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"the model is ImageClassifier.*type='ValLoop'"):
        Runner.from_cfg(cfg).val_loop  # noqa: B018


def test_every_detection_config_has_it():
    runtime = ROOT / 'configs' / '_base_' / 'detection_runtime.py'
    assert Config.fromfile(runtime).val_cfg == dict(type='mdvision.DetectionValLoop', loss_images=None)
    for path in (ROOT / 'configs').rglob('*.py'):
        assert path == runtime or 'ValLoop' not in path.read_text(encoding='utf-8'), path
