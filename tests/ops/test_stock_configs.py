"""Stock mmdet configs, shrunk, train a step and predict on the torchvision backend."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.hub import get_config
from mmengine.structures import InstanceData

SIZE = 96
# a residual branch that starts at zero would keep gradients from the deformable convolutions inside it
TINY_RESNET = dict(
    base_channels=8, frozen_stages=-1, init_cfg=None, norm_eval=False, zero_init_residual=False
)
BASIC = dict(TINY_RESNET, depth=18)  # stages of 8, 16, 32, 64 channels
BOTTLENECK = dict(TINY_RESNET, depth=50)  # stages of 32, 64, 128, 256 channels; BasicBlock refuses dcn
FASTER_RCNN = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'


def dcn(kind):
    layer = dict(type=kind, deform_groups=1, fallback_on_stride=False)
    return dict(BOTTLENECK, dcn=layer, stage_with_dcn=(False, True, True, True))


CASES = {
    'retinanet': ('mmdet::_base_/models/retinanet_r50_fpn.py', BASIC, [8, 16, 32, 64]),
    'faster_rcnn': (FASTER_RCNN, BASIC, [8, 16, 32, 64]),
    'cascade_rcnn': ('mmdet::_base_/models/cascade-rcnn_r50_fpn.py', BASIC, [8, 16, 32, 64]),
    'mask_rcnn': ('mmdet::_base_/models/mask-rcnn_r50_fpn.py', BASIC, [8, 16, 32, 64]),
    'fcos': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', BASIC, [8, 16, 32, 64]),
    'faster_rcnn_dcn': (FASTER_RCNN, dcn('DCN'), [32, 64, 128, 256]),
    'faster_rcnn_dcnv2': (FASTER_RCNN, dcn('DCNv2'), [32, 64, 128, 256]),
}


def build(path, backbone, in_channels):
    register_all_modules()
    config = get_config(path)
    model = config.get('model', config)
    model.backbone.update(backbone)
    model.neck.update(in_channels=in_channels)
    heads = model.get('roi_head', {}).get('bbox_head', [])
    for head in heads if isinstance(heads, list) else [heads]:
        head.update(fc_out_channels=64)
    torch.manual_seed(0)
    detector = MODELS.build(model)
    detector.init_weights()
    return detector


def sample(with_mask):
    from mmdet.structures.mask import BitmapMasks

    boxes = torch.tensor([[8.0, 8, 60, 56], [30, 40, 90, 88]])
    instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    if with_mask:
        masks = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
        masks[0, 8:56, 8:60] = 1
        masks[1, 40:88, 30:90] = 1
        instances.masks = BitmapMasks(masks.numpy(), SIZE, SIZE)
    data_sample = DetDataSample(gt_instances=instances)
    data_sample.set_metainfo(
        dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0), img_id=0)
    )
    return data_sample


@pytest.mark.parametrize('name', CASES)
def test_a_stock_detector_trains_and_predicts(name, rng):
    detector = build(*CASES[name])
    image = (torch.rand(3, SIZE, SIZE, generator=rng) * 255).byte()
    data = dict(inputs=[image], data_samples=[sample(detector.with_mask)])

    detector.train()
    losses = detector.parse_losses(detector(**detector.data_preprocessor(data, True), mode='loss'))[1]
    losses['loss'].backward()
    assert torch.isfinite(losses['loss'])
    first = next(detector.backbone.parameters())
    assert first.grad.abs().sum() > 0
    offsets = [p for n, p in detector.named_parameters() if n.endswith('conv_offset.weight')]
    assert bool(offsets) == ('dcn' in name)
    assert all(p.grad.abs().sum() > 0 for p in offsets)

    detector.eval()
    with torch.no_grad():
        (prediction,) = detector.test_step(data)
    boxes, scores = prediction.pred_instances.bboxes, prediction.pred_instances.scores
    assert boxes.shape == (len(scores), 4)
    assert bool(((boxes >= 0) & (boxes <= SIZE)).all())
    assert bool((scores[:-1] >= scores[1:]).all())
