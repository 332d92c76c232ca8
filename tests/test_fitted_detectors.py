"""Necks and heads take their channels and strides from the backbone."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mdvision
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream

import_upstream('mmdet')
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
    assert fitted['neck']['in_channels'] == [PLAIN.get('embed_dim', 32)]
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
    given = two_stage(in_channels=[64, 128, 256, 512])
    given['rpn_head'] = dict(in_channels=7, anchor_generator=dict(strides=[3]))
    fitted = fit_to_backbone(given)
    assert fitted['neck']['in_channels'] == [64, 128, 256, 512]
    assert fitted['rpn_head'] == given['rpn_head']


def test_a_neck_that_does_not_take_the_maps_is_an_error():
    with pytest.raises(
        mdvision.UserError,
        match=r'rpn_head.in_channels, .* cannot be filled: FPN cannot process .*64, 32, 480',
    ):
        fit_to_backbone(two_stage(in_channels=[1, 2, 3, 4]))


def test_a_detector_without_gaps_may_have_any_backbone():
    given = dict(backbone=dict(type='NoSuchThing'), neck=dict(type='FPN', in_channels=[8], out_channels=8))
    assert fit_to_backbone(given) == given


@pytest.mark.parametrize(
    'backbone, reason',
    [
        (dict(type='mdvision.DEMSViT'), r'DEMSViT gives no feature maps \(C, H, W\), but \[\(192,\)\]'),
        (
            dict(type='mdvision.DiffViT'),
            "DiffViT: the image must be .* with out_type='featmap' the network pads",
        ),
    ],
)
def test_a_backbone_without_maps_is_an_error(backbone, reason):
    with pytest.raises(mdvision.UserError, match=f'neck.in_channels, .* cannot be filled: .*{reason}'):
        fit_to_backbone(dict(two_stage(), backbone=backbone))


def test_a_backbone_of_mmdet_that_declares_nothing():
    backbone = dict(type='ResNet', depth=18, out_indices=(1, 2), strides=(1, 2, 2, 2))
    fitted = fit_to_backbone(dict(two_stage(num_outs=3), backbone=backbone))
    assert fitted['neck']['in_channels'] == [128, 256]
    assert fitted['rpn_head']['anchor_generator']['strides'] == [8, 16, 32]
    assert fitted['roi_head']['bbox_roi_extractor']['featmap_strides'] == [8, 16]


@pytest.mark.parametrize('padding', [0, 1])
def test_a_ring_of_padding_does_not_change_the_strides(padding):
    """With ``stem_padding=1`` an image of 128 pixels has maps of 130, 65, 33, 17, 9, 5 and 3."""
    backbone = dict(type='mdvision.MDMobileNetV2', stem_padding=padding, out_indices=(0, 1, 2, 6))
    fitted = fit_to_backbone(dict(two_stage(num_outs=7), backbone=backbone))
    assert fitted['rpn_head']['anchor_generator']['strides'] == [1, 2, 4, 8, 16, 32, 64]
    assert fitted['roi_head']['bbox_roi_extractor']['featmap_strides'] == [1, 2, 4, 8]


@pytest.mark.parametrize('patch_size', [7, 14, 16])
def test_strides_that_are_no_powers_of_two(patch_size):
    backbone = dict(PLAIN, patch_size=patch_size, image_size=10 * patch_size)
    head = dict(in_channels=None, anchor_generator=dict(strides=None))
    assert fit_to_backbone(dict(backbone=backbone, bbox_head=head))['bbox_head'] == dict(
        in_channels=32, anchor_generator=dict(strides=[patch_size])
    )


@mdvision.registry.MODELS.register_module()
class NeckThatReadsValues(torch.nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels[-1], 5, 3, 2, 1)

    def forward(self, maps):
        return self.conv(maps[-1]) if maps[-1].sum().item() == 0 else None


def test_a_neck_that_looks_at_values():
    fitted = fit_to_backbone(
        dict(
            backbone=RESNET,
            neck=dict(type='NeckThatReadsValues', in_channels=None),
            bbox_head=dict(in_channels=None, anchor_generator=dict(strides=None)),
        )
    )
    assert fitted['bbox_head'] == dict(in_channels=5, anchor_generator=dict(strides=[64]))


def test_a_neck_may_leave_its_channels_to_its_default():
    given = dict(two_stage(), backbone=PLAIN, neck=dict(type='mdvision.SimplePyramid', in_channels=None))
    assert fit_to_backbone(given)['rpn_head']['in_channels'] == 256


@pytest.mark.parametrize(('end', 'strides'), [(2, [4, 8, 16]), (3, [4, 8, 16, 32]), (-1, [4, 8, 16, 32])])
def test_the_last_level_of_an_fpn(end, strides):
    fitted = fit_to_backbone(two_stage(end_level=end, num_outs=len(strides)))
    assert fitted['rpn_head']['anchor_generator']['strides'] == strides
    assert fitted['roi_head']['bbox_roi_extractor']['featmap_strides'] == strides


def test_every_head_of_a_cascade_is_filled():
    given = two_stage()
    given['roi_head']['bbox_head'] = [dict(in_channels=None), dict(in_channels=None)]
    assert fit_to_backbone(given)['roi_head']['bbox_head'] == [dict(in_channels=24)] * 2


def test_a_list_of_necks():
    necks = [
        dict(type='FPN', in_channels=None, out_channels=8, num_outs=5),
        dict(type='BFP', in_channels=8, num_levels=5),
    ]
    fitted = fit_to_backbone(dict(two_stage(), neck=necks))
    assert fitted['neck'] == [dict(necks[0], in_channels=[64, 128, 256, 512]), necks[1]]
    assert fitted['rpn_head'] == dict(in_channels=8, anchor_generator=dict(strides=[4, 8, 16, 32, 64]))
    assert fitted['roi_head']['bbox_roi_extractor']['featmap_strides'] == [4, 8, 16, 32]


def test_boxes_keep_their_corners_under_mixed_precision():
    from mmdet.registry import MODELS

    extractor = MODELS.build(
        dict(
            type='mdvision.RoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
            out_channels=4,
            featmap_strides=[4],
        )
    )
    maps = torch.randn(1, 4, 150, 250).bfloat16()
    rois = torch.tensor([[0.0, 803.3, 411.7, 819.1, 430.2]])
    exact = extractor((maps.float(),), rois)
    with torch.autocast('cpu', torch.bfloat16):
        found = extractor((maps,), rois)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() <= 0.01 * exact.abs().max()  # rounding of the result only


@pytest.mark.fault('D21')
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('levels', [1, 2])
@pytest.mark.parametrize('kind', ['SingleRoIExtractor', 'GenericRoIExtractor', 'generic with layers'])
def test_the_extractors_of_mmdet_keep_the_corners_in_our_runner(kind, levels, dtype, tmp_path):
    """Found in the model of a run, and in a copy of it (averaged weights)."""
    from mmdet.registry import MODELS

    from mdvision.engine.runner import Runner

    layers = dict(pre_cfg=dict(type='ConvModule', in_channels=4, out_channels=4, kernel_size=1))
    extractor = MODELS.build(
        dict(
            type=kind if kind.endswith('Extractor') else 'GenericRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
            out_channels=4,
            featmap_strides=[4, 8][:levels],
            **({} if kind.endswith('Extractor') else layers),
        )
    )
    maps = [torch.randn(1, 4, 600 // stride, 1000 // stride).to(dtype) for stride in (4, 8)[:levels]]
    rois = torch.tensor([[0.0, 803.3, 411.7, 819.1, 430.2], [0, 503.3, 111.7, 909.1, 430.2]])
    exact = extractor([one.float() for one in maps], rois)
    model = torch.nn.ModuleDict(dict(extractor=extractor))
    kept = Runner(model, tmp_path, experiment_name=f'{kind}{levels}{dtype}').model
    for one in (kept, copy.deepcopy(kept)):
        with torch.autocast('cpu', dtype):
            found = one['extractor'](maps, rois)
        assert found.dtype == dtype
        assert (found.float() - exact).abs().max() <= 0.01 * exact.abs().max()  # rounding of the result only


def test_max_pooling_of_regions_works_in_bfloat16():
    extractor = mdvision.MaxPoolRoIExtractor(output_size=7, stride=16, out_channels=2)
    maps, rois = torch.randn(1, 2, 40, 60).bfloat16(), torch.tensor([[0.0, 803.3, 411.7, 919.1, 530.2]])
    found = extractor((maps,), rois)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.float(), extractor((maps.float(),), rois))


@pytest.mark.fault('F1')
@pytest.mark.parametrize(
    'image, stride, corner',
    [
        ((96, 106), None, 20 + 5),  # x: 70 * 7 / 106 = 4.6, y: 38 * 6 / 96 = 2.4, rounded and included
        ((96, 106), 16, 20 + 4),  # 70 / 16 = 4.4
        ((90, 112), None, 30 + 4),  # x: 70 / 16 = 4.4, y: 38 * 6 / 90 = 2.53
        ((96, 112), None, 20 + 4),
    ],
)
def test_regions_are_scaled_by_size_of_the_map_over_size_of_the_image_on_each_axis(image, stride, corner):
    """As the authors, unless a stride is given. Each map is 6 x 7, its value 10 y + x."""
    extractor = mdvision.MaxPoolRoIExtractor(output_size=1, out_channels=1, stride=stride)
    extractor.see_images(None, (torch.zeros(1, 3, *image),))
    ramp = 10.0 * torch.arange(6)[:, None] + torch.arange(7)
    found = extractor((ramp.expand(1, 1, 6, 7),), torch.tensor([[0.0, 0, 0, 70, 38]]))
    assert found.item() == corner


@pytest.mark.fault('F1')
def test_the_c4_detector_tells_its_extractor_the_size_of_the_images():
    from mmdet.registry import MODELS

    cfg = Config.fromfile(Path(mdvision.__path__[0]).parent / 'configs/emanet/faster_rcnn_c4_voc.py')
    fill_config(cfg)
    config = cfg.model
    narrow = dict(base_channels=16, stage_blocks=(1, 1, 1, 1), gate_reduction=4, groups=(1, 2, 4, 4))
    config.backbone.update(narrow)
    config.roi_head.shared_head.backbone.update(narrow)
    model = MODELS.build(config).eval()
    extractor = model.roi_head.bbox_roi_extractor
    regions = torch.tensor([[0.0, 0, 0, 70, 70]])
    with pytest.raises(mdvision.UserError, match=r"'mdvision.FasterRCNN'.*bbox_roi_extractor.stride"):
        extractor((torch.zeros(1, 256, 6, 7),), regions)
    copied = copy.deepcopy(model)
    images = torch.zeros(3, 600, 590, dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=[images], data_samples=None))['inputs']
    with torch.no_grad():
        maps = copied.extract_feat(inputs)
    assert maps[0].shape[-2:] == (38, 37)
    assert tuple(copied.roi_head.bbox_roi_extractor.image_size) == (600, 590)  # not padded
    assert extractor.image_size is None


@pytest.mark.parametrize('kind', ['faster_rcnn', 'retinanet'])
@pytest.mark.parametrize('reads_values', [False, True])
def test_the_backbone_of_the_document_is_a_detector(kind, reads_values, tmp_path, monkeypatch):
    """docs/add_a_backbone.md as it stands; many transformers read values of a tensor while they are built."""
    root = Path(mdvision.__path__[0]).parent
    code, leaf = re.findall(r'```(?:python)?\n(.*?)```', (root / 'docs/add_a_backbone.md').read_text(), re.S)[
        :2
    ]
    module = f'backbone_of_a_user_{kind}_{reads_values}'
    if reads_values:
        code = code.replace('super().__init__(init_cfg)', 'super().__init__(init_cfg); torch.ones(1).item()')
        code = 'import torch\n' + code
    (tmp_path / f'{module}.py').write_text(
        code.replace('MODELS.register_module()', 'MODELS.register_module(force=True)')
    )
    leaf = leaf.replace(
        './_base_/detectors/faster_rcnn_voc.py', f'{root}/configs/_base_/detectors/{kind}_voc.py'
    )
    (tmp_path / 'leaf.py').write_text(leaf.replace('my_backbone', module))
    monkeypatch.syspath_prepend(str(tmp_path))
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample

    cfg = Config.fromfile(tmp_path / 'leaf.py')
    fill_config(cfg)
    config = cfg.model
    config.neck.update(num_outs=2, start_level=0, out_channels=16)
    if kind == 'retinanet':
        config.neck.pop('add_extra_convs')
        config.bbox_head.update(feat_channels=16, stacked_convs=1)
    else:
        config.rpn_head.feat_channels = config.roi_head.bbox_head.fc_out_channels = 16
    model = MODELS.build(config)
    assert model.neck.in_channels == [16, 32]
    model.eval()
    sample = DetDataSample(
        metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0), img_id=0)
    )
    with torch.no_grad():
        (found,) = model.predict(torch.randn(1, 3, 64, 96), [sample])
    assert found.pred_instances.bboxes.shape[1] == 4
