"""Every backbone that gives maps trains a step in mmdet's RetinaNet and in Faster R-CNN with FPN."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mdvision
from mdvision.registry import MODELS

# Name, the arguments that make it a pyramid.
PYRAMIDS = {
    'emanet50': dict(base_channels=32, gate_reduction=4, stage_blocks=(1, 1, 1, 1)),
    'resnet18': {},
    'lma_resnet18': {},
    'lma_resnet50': dict(base_channels=16),
    'se_resnet50': dict(base_channels=16),
    'cbam_resnet50': dict(base_channels=16),
    'eca_resnet50': dict(base_channels=16),
    'sa_resnet50': dict(base_channels=32),
    'fca_resnet50': dict(base_channels=16),
    'epsanet50': dict(stage_blocks=(1, 1, 1, 1)),
    'mobilenet_v2': dict(width_mult=0.5, out_indices=(1, 2, 4, 6)),
    'lma_mobilenet_v2': dict(width_mult=0.5, out_indices=(1, 2, 4, 6)),
    'mdnet': dict(stem='imagenet', out_indices=(0, 1, 2, 6)),
    'mobilenet_v2_cifar': dict(stem='imagenet', out_indices=(0, 1, 2, 6)),
    'mobilenet_cifar': dict(stem='imagenet', out_indices=(1, 2, 3, 4)),
    'vit_nano': dict(out_type='featmap', in_channels=3, image_size=56),
    'diff_vit_nano': dict(out_type='featmap', in_channels=3, image_size=56),
    'diff_vit_nano_legacy': dict(out_type='featmap', in_channels=3, image_size=56),
}
# Name, a backbone without a row in the table of named models or with a neck of its own, that neck.
PLAIN = dict(out_type='featmap', in_channels=3, patch_size=16, image_size=64)
TRANSFORMERS = {
    'dems_vit_pyramid': (dict(type='mdvision.DEMSViTPyramid', embed_dim=32, num_heads=2, window=1), None),
    'vit_simple_pyramid': (mdvision.backbone_config('vit_nano', **PLAIN), (4, 2, 1, 0.5)),
    'diff_vit_simple_pyramid': (mdvision.backbone_config('diff_vit_nano', **PLAIN), (4, 2, 1, 0.5)),
}
HEIGHT, WIDTH = 64, 96


def detector(kind: str, name: str) -> dict:
    """mmdet's own model config around the backbone, with narrow heads."""
    config = Config.fromstring(f"_base_ = ['mmdet::_base_/models/{kind}_r50_fpn.py']", '.py').model
    factors = None
    if name in TRANSFORMERS:
        config.backbone, factors = TRANSFORMERS[name]
        config.data_preprocessor.pad_size_divisor = 1  # they pad by themselves
    else:
        arguments = PYRAMIDS[name]
        arguments = dict(dict(out_indices=(0, 1, 2, 3)) if 'out_type' not in arguments else {}, **arguments)
        config.backbone = mdvision.backbone_config(name, **arguments)
    backbone = MODELS.build(config.backbone)
    strides, channels = list(backbone.out_strides), list(backbone.out_channels)
    if factors:
        config.neck = dict(
            type='mdvision.SimplePyramid', in_channels=channels[0], out_channels=16, scale_factors=factors
        )
        strides = [round(strides[0] / factor) for factor in factors]
    else:
        config.neck = dict(type='FPN', in_channels=channels, out_channels=16, num_outs=len(channels))
    if kind == 'retinanet':
        config.bbox_head.update(num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1)
        config.bbox_head.anchor_generator.strides = strides
    else:
        config.rpn_head.update(in_channels=16, feat_channels=16)
        config.rpn_head.anchor_generator.strides = strides
        config.roi_head.bbox_roi_extractor.update(out_channels=16, featmap_strides=strides)
        config.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=3)
    return config


@pytest.mark.parametrize('name', [*PYRAMIDS, *TRANSFORMERS])
@pytest.mark.parametrize('kind', ['retinanet', 'faster-rcnn'])
def test_a_backbone_trains_a_step_and_predicts_in_a_detector(kind, name):
    import mmdet.models  # noqa: F401
    from mmdet.structures import DetDataSample

    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = MODELS.build(detector(kind, name))
    model.init_weights()
    height, width = (HEIGHT - 3, WIDTH - 5) if name in TRANSFORMERS else (HEIGHT, WIDTH)
    samples = []
    for index in range(2):
        shape = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=dict(img_id=index, **shape))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 56, 56]]), labels=torch.tensor([1]))
        samples.append(sample)
    images = [torch.randint(0, 255, (3, height, width), dtype=torch.uint8) for _ in samples]
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
    optimizer.zero_grad = lambda: None  # the gradients are looked at below
    losses = model.train().train_step(dict(inputs=images, data_samples=samples), optimizer)
    assert all(value.isfinite().all() for value in losses.values())
    without = {key for key, p in model.named_parameters() if p.grad is None}
    # The layers that the authors of the vision transformers create and never use.
    assert all('.ffn.norm.' in key for key in without), without
    model.eval()
    for found in model.test_step(dict(inputs=images, data_samples=samples)):
        boxes = found.pred_instances.bboxes
        assert ((boxes >= 0) & (boxes <= torch.tensor([width, height, width, height]))).all()


def test_every_family_with_maps_is_in_the_table():
    types = {mdvision.find_model(name).backbone['type'] for name in PYRAMIDS}
    everything = {mdvision.find_model(name).backbone['type'] for name in mdvision.list_models()}
    assert everything - types == {'DEMSViT'}  # class tokens only
