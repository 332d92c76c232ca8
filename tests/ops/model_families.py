"""One small model of each family of mmdet's configs: a training step and a prediction; and the table of them.

    python -m tests.ops.model_families

writes the table of docs/ops.md anew (a few minutes). ``test_model_families.py`` checks each of its rows.
"""

import gc
import logging
import random
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mdvision.ops import MissingOpError, activate

activate()  # before mmdet

import mmdet  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.testing import demo_mm_inputs  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402

CONFIGS = Path(mmdet.__path__[0]) / '.mim' / 'configs'
DOCUMENT = Path(__file__).parents[2] / 'docs' / 'ops.md'
BEGIN, END = '<!-- model families: begin -->\n', '<!-- model families: end -->\n'
SIZES = {'ssd': 300}  # pixels; 96 elsewhere

# folder of mmdet's configs -> config in it, without .py
FAMILIES = {
    'atss': 'atss_r50_fpn_1x_coco',
    'autoassign': 'autoassign_r50-caffe_fpn_1x_coco',
    'boxinst': 'boxinst_r50_fpn_ms-90k_coco',
    'carafe': 'faster-rcnn_r50_fpn-carafe_1x_coco',
    'cascade_rcnn': 'cascade-rcnn_r50_fpn_1x_coco',
    'cascade_rpn': 'cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco',
    'centernet': 'centernet_r18_8xb16-crop512-140e_coco',
    'centripetalnet': 'centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco',
    'condinst': 'condinst_r50_fpn_ms-poly-90k_coco_instance',
    'conditional_detr': 'conditional-detr_r50_8xb2-50e_coco',
    'convnext': 'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco',
    'cornernet': 'cornernet_hourglass104_8xb6-210e-mstest_coco',
    'crowddet': 'crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman',
    'dab_detr': 'dab-detr_r50_8xb2-50e_coco',
    'dcn': 'faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco',
    'dcnv2': 'faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco',
    'ddod': 'ddod_r50_fpn_1x_coco',
    'ddq': 'ddq-detr-4scale_r50_8xb2-12e_coco',
    'deformable_detr': 'deformable-detr_r50_16xb2-50e_coco',
    'detectors': 'detectors_htc-r50_1x_coco',
    'detr': 'detr_r50_8xb2-150e_coco',
    'dino': 'dino-4scale_r50_8xb2-12e_coco',
    'double_heads': 'dh-faster-rcnn_r50_fpn_1x_coco',
    'dyhead': 'atss_r50_fpn_dyhead_1x_coco',
    'dynamic_rcnn': 'dynamic-rcnn_r50_fpn_1x_coco',
    'efficientnet': 'retinanet_effb3_fpn_8xb4-crop896-1x_coco',
    'empirical_attention': 'faster-rcnn_r50-attn1111_fpn_1x_coco',
    'faster_rcnn': 'faster-rcnn_r50_fpn_1x_coco',
    'fcos': 'fcos_r50-caffe_fpn_gn-head_1x_coco',
    'foveabox': 'fovea_r50_fpn_gn-head-align_4xb4-2x_coco',
    'fpg': 'retinanet_r50_fpg_crop640_50e_coco',
    'free_anchor': 'freeanchor_r50_fpn_1x_coco',
    'fsaf': 'fsaf_r50_fpn_1x_coco',
    'gcnet': 'mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco',
    'gfl': 'gfl_r50_fpn_1x_coco',
    'ghm': 'retinanet_r50_fpn_ghm-1x_coco',
    'grid_rcnn': 'grid-rcnn_r50_fpn_gn-head_1x_coco',
    'groie': 'faste-rcnn_r50_fpn_groie_1x_coco',
    'guided_anchoring': 'ga-retinanet_r50_fpn_1x_coco',
    'hrnet': 'faster-rcnn_hrnetv2p-w18-1x_coco',
    'htc': 'htc_r50_fpn_1x_coco',
    'libra_rcnn': 'libra-faster-rcnn_r50_fpn_1x_coco',
    'mask_rcnn': 'mask-rcnn_r50_fpn_1x_coco',
    'maskformer': 'maskformer_r50_ms-16xb1-75e_coco',
    'ms_rcnn': 'ms-rcnn_r50_fpn_1x_coco',
    'nas_fcos': 'nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco',
    'nas_fpn': 'retinanet_r50_nasfpn_crop640-50e_coco',
    'pafpn': 'faster-rcnn_r50_pafpn_1x_coco',
    'panoptic_fpn': 'panoptic-fpn_r50_fpn_1x_coco',
    'pisa': 'faster-rcnn_r50_fpn_pisa_1x_coco',
    'point_rend': 'point-rend_r50-caffe_fpn_ms-1x_coco',
    'pvt': 'retinanet_pvt-t_fpn_1x_coco',
    'queryinst': 'queryinst_r50_fpn_1x_coco',
    'regnet': 'faster-rcnn_regnetx-3.2GF_fpn_1x_coco',
    'reppoints': 'reppoints-moment_r50_fpn_1x_coco',
    'res2net': 'faster-rcnn_res2net-101_fpn_2x_coco',
    'resnest': 'faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco',
    'retinanet': 'retinanet_r18_fpn_1x_coco',
    'rtmdet': 'rtmdet-ins_tiny_8xb32-300e_coco',
    'rpn': 'rpn_r50_fpn_1x_coco',
    'sabl': 'sabl-faster-rcnn_r50_fpn_1x_coco',
    'scnet': 'scnet_r50_fpn_1x_coco',
    'solo': 'solo_r50_fpn_1x_coco',
    'solov2': 'solov2_r50_fpn_1x_coco',
    'sparse_rcnn': 'sparse-rcnn_r50_fpn_1x_coco',
    'ssd': 'ssd300_coco',
    'swin': 'mask-rcnn_swin-t-p4-w7_fpn_1x_coco',
    'tood': 'tood_r50_fpn_1x_coco',
    'vfnet': 'vfnet_r50_fpn_1x_coco',
    'yolact': 'yolact_r50_1xb8-55e_coco',
    'yolo': 'yolov3_d53_8xb8-320-273e_coco',
    'yolof': 'yolof_r50-c5_8xb8-1x_coco',
    'yolox': 'yolox_tiny_8xb8-300e_coco',
}
# What they need beyond an image with boxes and masks -> folders.
NOT_TRIED = {
    'videos': 'bytetrack deepsort mask2former_vis masktrack_rcnn ocsort qdtrack reid sort strongsort',
    'proposals from files': 'fast_rcnn',
    'two views of an image': 'soft_teacher',
    'text, with the package transformers and its BERT': 'glip grounding_dino mm_grounding_dino',
    'more than a minute of CPU': 'mask2former',
    'the package scikit-learn': 'paa',
    'another format of configs': 'clrnet',
    'a trained teacher, which is a download': 'lad ld',
    'a pretrained backbone, as nothing else initialises it': 'tridentnet',
    'a backbone of the package timm': 'timm_example',
}


def _shrink(node: object) -> None:
    """No pretrained weights, no padding to a fixed size, few proposals and queries, short hourglasses."""
    if isinstance(node, list | tuple):
        for child in node:
            _shrink(child)
    if not isinstance(node, Mapping):
        return
    for key in [key for key in node if key in ('init_cfg', 'pretrained')]:
        if key == 'pretrained' or 'checkpoint' in str(node[key]):
            node[key] = None
    if node.get('batch_augments'):
        node['batch_augments'] = None
    if node.get('type') == 'HourglassNet':
        node.update(
            num_stacks=1, downsample_times=3, stage_channels=[32, 32, 32, 32], stage_blocks=[1, 1, 1, 1]
        )
    if node.get('type') in ('SOLOHead', 'SOLOV2Head'):
        node['feat_channels'] = 64
    if 'Sampler' in str(node.get('type')) and 'num' in node:
        node['num'] = min(node['num'], 64)
    most_of = dict(nms_pre=100, max_per_img=20, num_queries=50, num_proposals=20)
    for key, most in most_of.items():
        if isinstance(node.get(key), int):
            node[key] = min(node[key], most)
    for child in node.values():
        _shrink(child)


def run(family: str) -> str:
    """``'runs'``, or why a training step and a prediction are not possible, in one line."""
    register_all_modules()
    gc.freeze()  # a collection takes 0.2 s with what is there before the model
    try:
        return _run(family)
    finally:
        gc.collect()  # the parts of a model refer to each other, and those of seventy models fill the memory
        gc.unfreeze()


def _run(family: str) -> str:
    logging.disable(logging.INFO)  # where each weight comes from
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    try:
        model = Config.fromfile(CONFIGS / family / f'{FAMILIES[family]}.py').model
        _shrink(model)
        detector = MODELS.build(model)
        detector.init_weights()
        size = SIZES.get(family, 96)
        data = demo_mm_inputs(
            2, image_shapes=[[3, size, size]] * 2, num_items=[2, 2], num_classes=5, with_mask=True,
            with_semantic=True,
        )  # fmt: skip
        hub = MessageHub.get_instance('model families')  # where some heads look how far the training is
        hub.update_info_dict(dict(iter=0, epoch=0))
        detector.train()
        losses = detector(**detector.data_preprocessor(data, True), mode='loss')
        loss = detector.parse_losses(losses)[0]
        loss.backward()
        assert torch.isfinite(loss), f'the loss is {loss}'
        detector.eval()
        with torch.no_grad():
            (_,) = detector.test_step({key: values[:1] for key, values in data.items()})
    except MissingOpError as error:
        return f'needs the compiled {str(error).split("operator ")[1].split(" needs")[0]}'
    except Exception as error:  # why it does not run is what the table says
        return f'{type(error).__name__}: {" ".join(str(error).split())[:120]}'.replace('|', '/')
    finally:
        logging.disable(logging.NOTSET)
    return 'runs'


def rows() -> dict[str, str]:
    """The rows of the document by family."""
    table = DOCUMENT.read_text(encoding='utf-8').split(BEGIN)[1].split(END)[0]
    found = re.findall(r'^\| (\S+) \| `(\S+)` \| (.*) \|$', table, re.M)
    return {family: result for family, _, result in found}


def table(results: dict[str, str]) -> str:
    lines = ['| family | config | |', '|---|---|---|']
    lines += [f'| {family} | `{FAMILIES[family]}` | {result} |' for family, result in results.items()]
    lines += ['', 'Not tried: ' + '; '.join(f'{why} ({names})' for why, names in NOT_TRIED.items()) + '.']
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    before, rest = DOCUMENT.read_text(encoding='utf-8').split(BEGIN)
    after = rest.split(END)[1]
    results = {}
    for name in FAMILIES:
        results[name] = run(name)
        print(name, results[name], flush=True)
    DOCUMENT.write_text(before + BEGIN + table(results) + END + after, encoding='utf-8')
