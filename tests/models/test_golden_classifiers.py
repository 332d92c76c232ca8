"""Every published classifier answers as its authors' implementation does, through the converter."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mdvision
from mdvision.converters import convert_state_dict, find_key_map
from tests import golden

# Stage of a fixture -> the module that puts it out, or '>module' that takes it in.
RESNET = {'stem': 'backbone.maxpool', **{f'layer{i}': f'backbone.layer{i}' for i in range(1, 5)}}
DEMS = {
    'tokens': '>backbone.blocks.0',
    'merged1': '>backbone.blocks.5',
    'merged2': '>backbone.blocks.9',
    'norm': 'backbone.norm',
    **{f'blocks.{i}': f'backbone.blocks.{i}' for i in (0, 4, 5, 8, 11)},
}
NANO = {
    'tokens': '>backbone.transformer_encoder.0',
    **{f'block{i}': f'backbone.transformer_encoder.{i}' for i in (0, 1)},
    **{f'block{i}.attention': f'backbone.transformer_encoder.{i}.attention' for i in (0, 1)},
}
MDNET = {
    name: f'backbone.{name}' for name in ('pre', 'transform', 'conv1', *(f'stage{i}' for i in range(1, 8)))
}
MOBILENET = {'stem': 'backbone.stem', **{f'conv{i}': f'backbone.conv{i}' for i in range(1, 5)}}
MOBILENET_V2 = {f'features.{i}': f'backbone.features.{i}' for i in range(19)}


@dataclass
class Case:
    name: str
    stages: dict
    overrides: dict = field(default_factory=dict)


NO_DROP = dict(drop_path_rate=0.0, attn_drop_rate=0.0)
# The fixture of each published model: its name, and what differs from it.
CASES = {
    'emanet50_cifar': Case('emanet50_cifar', RESNET),
    'emanet50_mini': Case('emanet50_mini', RESNET),
    'resnet50_cifar': Case('resnet50_cifar', RESNET),
    'senet50_cifar': Case('se_resnet50_cifar', RESNET),
    'senet50_literal': Case('se_resnet50', RESNET),
    'cbam50_cifar': Case('cbam_resnet50_cifar', RESNET),
    'ecanet50_cifar': Case('eca_resnet50_cifar', RESNET),
    'sanet50_cifar': Case('sa_resnet50_cifar', RESNET),
    'fcanet50_cifar': Case('fca_resnet50_cifar', RESNET),
    'epsanet50_cifar': Case('epsanet50_cifar', RESNET),
    'lma_resnet18': Case('lma_resnet18', RESNET),
    'lma_resnet50': Case('lma_resnet50', RESNET),
    'lma_mobilenet_v2': Case('lma_mobilenet_v2', MOBILENET_V2),
    'mdnet_100': Case('mdnet', MDNET),
    'mobilenet_100': Case('mobilenet_cifar', MOBILENET),
    'mobilenetv2_100': Case('mobilenet_v2_cifar', MDNET),
    'dems_tiny_32_p2': Case('dems_vit_tiny', DEMS, NO_DROP),
    'dems_tiny_64_p4': Case('dems_vit_tiny', DEMS, dict(NO_DROP, image_size=64, patch_size=4)),
    'dems_small_32_p2': Case('dems_vit_small', DEMS, NO_DROP),
    'vit_p7_d32': Case('vit_nano', NANO),
    'vit_p4_d64': Case('vit_nano_p4', NANO),
    'diff_vit_p7_d32': Case('diff_vit_nano', NANO),
    'diff_vit_p4_d64': Case('diff_vit_nano_p4', NANO),
    'diff_vit_legacy_p7_d32': Case('diff_vit_nano_legacy', NANO),
}


@pytest.fixture(scope='module', params=CASES)
def case(request):
    """(fixture, case, model in float64 with its weights and without dropout)."""
    data, case = golden.load(request.param), CASES[request.param]
    model = mdvision.create_model(case.name, num_classes=data.meta['num_classes'], **case.overrides)
    model.load_state_dict(convert_state_dict(case.name, data.state_dict), strict=True)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return data, case, model.double()


def test_there_is_a_case_for_every_fixture_of_a_classifier():
    others = {'emanet50_det_stem3', 'emanet50_det_stem7', 'frcnn_utils', 'schedules'}
    files = {path.stem for path in golden.GOLDEN.glob('*.npz')}
    assert {name for name in files - others if not name.startswith('modules_')} == set(CASES)


def test_parameter_count_is_exact(case):
    data, _, model = case
    assert sum(p.numel() for p in model.parameters()) == data.meta['trainable_params']


def test_eval_logits_and_stages_agree_in_float64(case):
    data, case, model = case
    stages, handles = {}, []
    for stage in data.meta['stages']:
        path = case.stages[stage]
        module = model.get_submodule(path.removeprefix('>'))

        def keep(_module, inputs, output, stage=stage, path=path):
            stages[stage] = (inputs[0] if path.startswith('>') else output).clone()

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        logits = model.eval()(data.images.double())
    for handle in handles:
        handle.remove()
    for stage in data.meta['stages']:
        golden.check_stage(data, stage, stages[stage])
    golden.check_close(logits, data.tensor('logits'), 'logits')


def test_eval_logits_agree_in_float32(case):
    data, _, model = case
    with torch.no_grad():
        logits = model.float().eval()(data.images)
    model.double()
    want = data.tensor('logits')
    assert (logits - want).abs().max() <= 1e-5 * max(1.0, want.abs().max())


def test_training_loss_and_every_gradient_norm_agree_in_float64(case):
    data, case, model = case
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train().zero_grad()
    logits = model(data.images.double())
    loss = F.cross_entropy(logits, data.labels)
    loss.backward()
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    golden.check_close(logits, data.tensor('train_logits'), 'train logits')
    assert abs(loss.item() - float(data.arrays['train_loss'])) <= 1e-6 * abs(loss.item())
    ours = {name: p.grad for name, p in model.named_parameters()}
    rename = find_key_map(case.name).rename
    golden.check_gradients(data, {name: ours[rename(name)] for name in data.meta['param_names']})


def test_both_hosts_find_the_same_class_under_both_spellings():
    import mmdet.registry
    import mmpretrain.registry

    for name in ('EMANet', 'AttentionResNet', 'MultiScaleAttention', 'SqueezeExcite', 'DEMSViT', 'MDNet'):
        for registry in (mmdet.registry.MODELS, mmpretrain.registry.MODELS):
            assert registry.get(name) is getattr(mdvision, name)
            assert registry.get(f'mdvision.{name}') is getattr(mdvision, name)
