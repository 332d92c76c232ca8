"""Every config parses, says what it is, builds, and fits together."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mdvision.console import import_host

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)


@pytest.fixture(params=CONFIGS)
def config(request):
    cfg = Config.fromfile(ROOT / request.param)
    import_host(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    return cfg


def test_there_are_configs():
    assert 'configs/emanet/faster_rcnn_voc.py' in CONFIGS


def test_the_docstring_has_the_command(config):
    name = Path(config.filename).relative_to(ROOT).as_posix()
    assert f'python tools/train.py {name}' in Path(config.filename).read_text()


def test_the_model_builds_and_the_neck_fits_the_backbone(config):
    from mmdet.registry import MODELS

    with torch.device('meta'):
        model = MODELS.build(config.model)
    if config.model.get('neck'):
        assert tuple(config.model.neck.in_channels) == model.backbone.out_channels
        strides = config.model.roi_head.bbox_roi_extractor.featmap_strides
        assert tuple(strides) == model.backbone.out_strides


def test_training_and_evaluation_use_the_classes_of_the_model(config):
    classes = config.classes
    assert config.model.roi_head.bbox_head.num_classes == len(classes)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            assert tuple(dataset.metainfo.classes) == tuple(classes)


def test_no_config_names_a_host_for_weights(config):
    assert 'http' not in config.dump().replace('host.robots', '')
    assert 'torchvision://' not in config.dump()
    assert 'open-mmlab' not in config.dump()


def test_the_learning_rate_is_given_for_the_batch_of_the_config(config):
    assert config.auto_scale_lr.base_batch_size == config.train_dataloader.batch_size


def test_the_c4_detector_trains_a_step_and_predicts():
    """Narrow, on two small images: every part takes part, and gives boxes in the image."""
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    cfg = Config.fromfile(ROOT / 'configs/emanet/faster_rcnn_c4_voc.py').model
    import_host('mmdet')
    init_default_scope('mmdet')
    narrow = dict(base_channels=16, stage_blocks=(1, 1, 1, 1), gate_reduction=4, groups=(1, 2, 4, 4))
    cfg.backbone.update(narrow)
    cfg.roi_head.shared_head.backbone.update(narrow)
    cfg.rpn_head.update(in_channels=256, feat_channels=32)
    cfg.roi_head.bbox_roi_extractor.out_channels = 256
    cfg.roi_head.bbox_head.in_channels = 512
    model = MODELS.build(cfg)
    model.init_weights()
    samples = []
    for index in range(2):
        sample = DetDataSample(
            metainfo=dict(img_id=index, img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 72, 72]]), labels=torch.tensor([3]))
        samples.append(sample)
    images = [torch.randint(0, 255, (3, 96, 128), dtype=torch.uint8) for _ in samples]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    losses = model.loss(batch['inputs'], batch['data_samples'])
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    model.eval()
    with torch.no_grad():
        for found in model.predict(batch['inputs'], batch['data_samples']):
            boxes = found.pred_instances.bboxes
            assert ((boxes >= 0) & (boxes <= torch.tensor([128, 96, 128, 96]))).all()
