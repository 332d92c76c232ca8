"""Necks and heads take their channels and strides from the backbone."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mdvision
from mdvision.console import import_host

import_host('mmdet')
from mdvision.detectors import fit_to_backbone  # noqa: E402

RESNET = dict(type='mdvision.AttentionResNet', depth=18, stem='imagenet', out_indices=(0, 1, 2, 3))
PLAIN = mdvision.backbone_config('vit_nano', out_type='featmap', in_channels=3, patch_size=16, image_size=64)


@pytest.fixture(autouse=True)
def host():
    init_default_scope('mmdet')


def two_stage(**neck) -> dict:
    return dict(
        backbone=RESNET,
        neck=dict(dict(type='FPN', in_channels=None, out_channels=24, num_outs=5), **neck),
        rpn_head=dict(in_channels=None, anchor_generator=dict(strides=None)),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=None, featmap_strides=None), bbox_head=dict(in_channels=None)
        ),
    )


def test_a_two_stage_detector_with_an_fpn():
    given = two_stage()
    fitted = fit_to_backbone(given)
    assert fitted['neck']['in_channels'] == [64, 128, 256, 512]
    assert fitted['rpn_head'] == dict(in_channels=24, anchor_generator=dict(strides=[4, 8, 16, 32, 64]))
    assert fitted['roi_head'] == dict(
        bbox_roi_extractor=dict(out_channels=24, featmap_strides=[4, 8, 16, 32]),
        bbox_head=dict(in_channels=24),
    )
    assert given == two_stage()  # a config is built more than once


def test_a_one_stage_detector_that_begins_at_the_second_map():
    fitted = fit_to_backbone(
        dict(
            backbone=RESNET,
            neck=dict(type='FPN', in_channels=None, out_channels=24, start_level=1, num_outs=5),
            bbox_head=dict(in_channels=None, anchor_generator=dict(strides=None)),
        )
    )
    assert fitted['neck']['in_channels'] == [64, 128, 256, 512]
    assert fitted['bbox_head'] == dict(in_channels=24, anchor_generator=dict(strides=[8, 16, 32, 64, 128]))


@pytest.mark.parametrize('factors', [{}, dict(scale_factors=(4, 2, 1, 0.5))])
def test_a_pyramid_of_one_map(factors):
    given = dict(two_stage(type='mdvision.SimplePyramid', **factors), backbone=PLAIN)
    fitted = fit_to_backbone(given)
    assert fitted['neck']['in_channels'] == PLAIN.get('embed_dim', 32)
    assert fitted['rpn_head']['anchor_generator']['strides'] == [4, 8, 16, 32, 64]
    assert fitted['roi_head']['bbox_roi_extractor']['featmap_strides'] == [4, 8, 16, 32]


def test_a_detector_without_neck_and_with_a_shared_head():
    stages = dict(RESNET, depth=50, out_indices=(3,))
    fitted = fit_to_backbone(
        dict(
            backbone=dict(stages, num_stages=3, out_indices=(2,)),
            rpn_head=dict(in_channels=None, anchor_generator=dict(strides=None)),
            roi_head=dict(
                shared_head=dict(type='mdvision.StageHead', backbone=stages),
                bbox_roi_extractor=dict(out_channels=None),
                bbox_head=dict(in_channels=None),
            ),
        )
    )
    assert fitted['rpn_head'] == dict(in_channels=1024, anchor_generator=dict(strides=[16]))
    assert fitted['roi_head']['bbox_roi_extractor'] == dict(out_channels=1024)
    assert fitted['roi_head']['bbox_head'] == dict(in_channels=2048)


def test_what_is_written_stays():
    given = two_stage(in_channels=[1, 2, 3, 4])
    given['rpn_head'] = dict(in_channels=7, anchor_generator=dict(strides=[3]))
    fitted = fit_to_backbone(given)
    assert fitted['neck']['in_channels'] == [1, 2, 3, 4]
    assert fitted['rpn_head'] == given['rpn_head']


def test_a_detector_without_gaps_may_have_any_backbone():
    given = dict(backbone=dict(type='NoSuchThing'), neck=dict(type='FPN', in_channels=[8], out_channels=8))
    assert fit_to_backbone(given) == given


@pytest.mark.parametrize(
    'backbone, reason',
    [
        (dict(type='ResNet', depth=18), 'ResNet does not declare out_channels and out_strides'),
        (dict(type='mdvision.DEMSViT'), 'DEMSViT gives no feature maps'),
    ],
)
def test_a_backbone_that_does_not_say_what_it_gives(backbone, reason):
    with pytest.raises(mdvision.UserError, match=f'{reason}, so neck.in_channels, .* cannot be filled'):
        fit_to_backbone(dict(two_stage(), backbone=backbone))


@pytest.mark.parametrize('kind', ['faster_rcnn', 'retinanet'])
def test_the_config_of_a_new_backbone_is_the_backbone(kind, tmp_path):
    """A module of the user's in a base of ours; the backbone of docs/add_a_backbone.md has two maps."""
    root = mdvision.__path__[0] + '/../configs'
    (tmp_path / 'leaf.py').write_text(
        f"_base_ = '{root}/_base_/detectors/{kind}_voc.py'\n"
        "model = dict(backbone=dict(_delete_=True, type='mdvision.AttentionResNet', depth=18, "
        "stem='imagenet', out_indices=(1, 3)))\n"
    )
    with torch.device('meta'):
        from mmdet.registry import MODELS

        model = MODELS.build(Config.fromfile(tmp_path / 'leaf.py').model)
    assert model.neck.in_channels == [128, 512]
