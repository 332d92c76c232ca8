"""The C4 detector of the config answers as the authors' detector does, through the converter."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn import functional as F

from mdvision.config.fill import fill_config
from mdvision.converters import convert_state_dict
from tests import golden

CONFIG = 'configs/emanet/faster_rcnn_c4_voc.py'
STEMS = {'emanet50_det_stem7': 'imagenet', 'emanet50_det_stem3': 'cifar_pool'}


@pytest.fixture(scope='module', params=STEMS)
def case(request):
    data = golden.load(request.param)
    cfg = Config.fromfile(CONFIG)
    fill_config(cfg)
    model_cfg = cfg.model
    model_cfg.backbone.stem = STEMS[request.param]
    init_default_scope('mmdet')
    model = MODELS.build(model_cfg).double()
    model.load_state_dict(convert_state_dict('emanet50_c4_detector', data.state_dict), strict=True)
    return data, model


def detect(data, model):
    """The authors' five outputs from our parts, in their order of rows."""
    feature_map = model.backbone(data.images.double())[-1]
    objectness, deltas = (maps[0] for maps in model.rpn_head((feature_map,)))
    batch = feature_map.shape[0]
    # (object, background) of each anchor -> the authors' (background, object)
    rpn_scores = objectness.permute(0, 2, 3, 1).reshape(batch, -1, 2).flip(-1)
    rpn_locs = deltas.permute(0, 2, 3, 1).reshape(batch, -1, 4)
    rois = torch.tensor(data.meta['rois'], dtype=torch.float64)
    index = torch.arange(batch).repeat_interleave(rois.shape[1])[:, None]
    regions = torch.cat([index, rois.flatten(0, 1)], dim=1)
    pooled = model.roi_head.bbox_roi_extractor((feature_map,), regions)
    head_map = model.roi_head.shared_head(pooled)
    head = model.roi_head.bbox_head
    vector = head.avg_pool(head_map).flatten(1)
    roi_scores = torch.roll(head.fc_cls(vector), 1, 1)
    roi_locs = torch.roll(F.linear(vector, head.fc_reg.weight, head.fc_reg.bias), 4, 1)
    outputs = dict(
        rpn_scores=rpn_scores,
        rpn_locs=rpn_locs,
        roi_scores=roi_scores.unflatten(0, (batch, -1)),
        roi_cls_locs=roi_locs.unflatten(0, (batch, -1)),
    )
    return outputs, dict(layer3=feature_map, roi_pool=pooled, layer4=head_map)


def test_parameter_count_is_exact(case):
    data, model = case
    assert sum(p.numel() for p in model.parameters()) == data.meta['params']


def test_eval_outputs_and_stages_agree_in_float64(case):
    data, model = case
    model.eval()
    with torch.no_grad():
        backbone = model.backbone
        x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(data.images.double()))))
        golden.check_stage(data, 'stem', x)
        for stage in ('layer1', 'layer2'):
            x = getattr(backbone, stage)(x)
            golden.check_stage(data, stage, x)
        outputs, stages = detect(data, model)
    for name, value in stages.items():
        golden.check_stage(data, name, value)
    for name, value in outputs.items():
        want = data.tensor(name)
        assert (value - want).abs().max() <= 1e-6 * max(1.0, want.abs().max()), name


def test_anchors_agree(case):
    data, model = case
    feature_size = tuple(data.arrays['stage/layer3/shape'][2:])
    stride = data.images.shape[-1] // feature_size[1]
    generator = model.rpn_head.prior_generator
    base = generator.base_anchors[0].double()
    rows, columns = np.mgrid[0 : feature_size[0], 0 : feature_size[1]]
    shifts = torch.tensor(np.stack([columns, rows, columns, rows], -1) * 16.0).reshape(-1, 1, 4)
    ours = (shifts + base).reshape(-1, 4)
    # The authors' generator always steps by 16, which is right for the 7x7 stem only.
    assert (ours - data.tensor('anchors')).abs().max() < 1e-4
    if stride == 16:
        grid = generator.grid_priors([feature_size], dtype=torch.float64, device='cpu')[0]
        assert (grid - data.tensor('anchors')).abs().max() < 1e-4


def test_training_loss_and_every_gradient_norm_agree_in_float64(case):
    data, model = case
    model.train().zero_grad()
    outputs, _ = detect(data, model)
    labels = data.labels
    rpn_scores = outputs['rpn_scores'].flatten(0, 1)
    anchors = torch.arange(outputs['rpn_scores'].shape[1]).repeat(outputs['rpn_scores'].shape[0])
    loss = (
        F.cross_entropy(outputs['roi_scores'].flatten(0, 1), labels)
        + outputs['roi_cls_locs'].square().mean()
        + outputs['rpn_locs'].square().mean()
        + F.cross_entropy(rpn_scores, anchors % 2)
    )
    loss.backward()
    assert abs(loss.item() - float(data.arrays['train_loss'])) <= 1e-6 * abs(loss.item())
    ours = {name: p.grad for name, p in model.named_parameters()}
    convert = {}
    for name in data.meta['param_names']:
        # Only the name matters here; 84 rows divide by every reordering of the converter.
        convert[name] = next(iter(convert_state_dict('emanet50_c4_detector', {name: torch.zeros(84)})))
    golden.check_gradients(data, {name: ours[key] for name, key in convert.items()})
