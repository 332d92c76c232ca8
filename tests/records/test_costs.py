"""The named models cost what the files say, what formulas say and what the publications say."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from mdvision.complexity.count import count
from mdvision.meta_device import meta_device
from mdvision.models.attention import CBAM, EfficientChannelAttention, ShuffleAttention, SqueezeExcite
from mdvision.models.attention.branch import BranchAttention
from mdvision.models.backbones.resnet import BasicBlock, Bottleneck
from mdvision.models.layers import SoftBAN
from mdvision.models.named import create_model, find_model, list_models
from mdvision.models.necks import GlobalPool
from mdvision.records.costs import cost_of

RESULTS = Path(__file__).resolve().parents[2] / 'results'
FILE = json.loads((RESULTS / 'model_costs.json').read_text())
COSTS = FILE['models']
REPORTED = json.loads((RESULTS / 'reported.json').read_text())
WRITE = 'run python -m mdvision.records --count'


def counted(name, **overrides):
    with meta_device():
        model = create_model(name, **overrides)
        return count(model, torch.empty(1, *find_model(name).image))


def test_every_named_model_is_in_the_file():
    assert sorted(COSTS) == list_models(), WRITE


@pytest.mark.parametrize('name', list_models())
def test_the_file_has_what_is_counted(name):
    cost = cost_of(name)
    if FILE['torch'] != torch.__version__.partition('+')[0]:
        # What torch keeps for the backward pass depends on its version. Nothing else does.
        cost['training_bytes'] = COSTS[name]['training_bytes']
    assert cost == COSTS[name], WRITE


def test_the_page_has_a_line_for_each_model():
    page = (RESULTS / 'README.md').read_text(encoding='utf-8')
    emanet = '| emanet50_cifar | 3 x 32 x 32, 10 | 21,191,061 | 1.191 G | - | 4.338 M | 190.0 MiB | '
    assert emanet + '20.20M, 1.119G | M = 2^20, G = 2^30; ' in page
    assert [line.split()[1] for line in page.splitlines() if ' MiB |' in line] == list_models()


# ---------------------------------------------------------------------------------------------- known counts


@pytest.mark.parametrize(
    ('name', 'unit', 'printed'),
    [
        ('resnet50_cifar', 6, '1297.83'),
        ('se_resnet50_cifar', 6, '1300.34'),
        ('cbam_resnet50_cifar', 6, '1303.30'),
        ('eca_resnet50_cifar', 6, '1297.92'),
        ('sa_resnet50_cifar', 6, '1297.83'),
        ('fca_resnet50_cifar', 6, '1300.34'),
        ('epsanet50_cifar', 6, '1137.44'),
        ('emanet50_cifar', 6, '1190.71'),
        ('emanet101_cifar', 6, '2272.8'),
        ('emanet50_mini', 9, '4.331'),
        ('lma_resnet18', 9, '1.814'),
        ('lma_resnet34', 9, '3.664'),
        ('lma_resnet50', 9, '4.092'),
        ('lma_resnet101', 9, '7.806'),
        ('lma_resnet152', 9, '11.521'),
        ('lma_mobilenet_v2', 9, '0.3016'),
        ('dems_vit_tiny', 9, '1.621'),
        ('dems_vit_small', 9, '5.793'),
    ],
)
def test_convolutions_and_linear_layers_of_the_authors_code(name, unit, printed):
    """Counted once in the authors' own code, by hooks on its convolutions and linear layers."""
    kinds = COSTS[name]['macs_by_kind']
    digits = len(printed.partition('.')[2])
    assert f'{(kinds["convolution"] + kinds["linear"]) / 10**unit:.{digits}f}' == printed


def test_the_cosine_transform_of_fcanet_counts_once_for_each_element_of_each_block():
    maps = [(256, 32, 3), (512, 16, 4), (1024, 8, 6), (2048, 4, 3)]  # channels, side, blocks
    expected = sum(channels * side * side * blocks for channels, side, blocks in maps)
    assert COSTS['fca_resnet50_cifar']['macs_by_kind']['fft'] == expected
    assert counted('fca_resnet50_cifar').stages['backbone.layer4'].macs['fft'] == 2048 * 16 * 3


@pytest.mark.parametrize(
    ('name', 'width', 'heads', 'merge_counts', 'printed'),
    [('dems_vit_tiny', 192, 3, (64, 64), '0.401'), ('dems_vit_small', 384, 6, (64, 32), '0.688')],
)
def test_attention_of_dems_vit(name, width, heads, merge_counts, printed):
    """Two products a head and block; and one a merge, in four regions of 85 tokens at the start."""
    stages = counted(name).stages
    tokens = [1 + 4 * 85] * 5 + [1 + 4 * merge_counts[0]] * 4 + [1 + 4 * merge_counts[1]] * 3
    attention = sum(2 * heads * n * n * (width // heads) for n in tokens)
    assert stages['backbone.blocks'].macs['attention'] == attention
    assert f'{attention / 1e9:.3f}' == printed
    merges = 4 * (85 * merge_counts[0] + merge_counts[0] * merge_counts[1]) * width
    assert stages['backbone.merges'].macs['attention'] == merges
    assert COSTS[name]['macs_by_kind']['attention'] == attention + merges


@pytest.mark.parametrize('name', list_models('*vit_nano*'))
def test_attention_of_the_nano_vits(name):
    """A map of self-attention, or two of the differential form, in each of two blocks."""
    named = find_model(name)
    tokens = 1 + (named.image[1] // named.backbone['patch_size']) ** 2
    maps = 1 if named.backbone['attention'] == 'self' else 2
    assert COSTS[name]['macs_by_kind']['attention'] == 2 * maps * 2 * tokens**2 * named.backbone['embed_dim']


def test_mobilenet_by_formula():
    """A stem of 3 to 32 channels, then depthwise 3 x 3 and pointwise pairs."""
    blocks = [(32, 64, 32), (64, 128, 16), (128, 128, 16), (128, 256, 8), (256, 256, 8), (256, 512, 4)]
    blocks += [(512, 512, 4)] * 5 + [(512, 1024, 2), (1024, 1024, 2)]
    pairs = sum(side**2 * (9 * before + before * after) for before, after, side in blocks)
    assert COSTS['mobilenet_cifar']['macs'] == 32**2 * 32 * 27 + pairs + 1024 * 100


def _mobilenet_v2_by_formula():
    """The 1 x 1 stem pads: its map has 34 x 34 positions."""
    total, channels, side = 34**2 * 3 * 32, 32, 34
    stages = (
        (16, 1, 1, 1),
        (24, 2, 6, 2),
        (32, 3, 6, 2),
        (64, 4, 6, 2),
        (96, 3, 6, 1),
        (160, 3, 6, 1),
        (320, 1, 6, 1),
    )
    for out_channels, repeats, expansion, first_stride in stages:
        for index in range(repeats):
            hidden = channels * expansion
            out_side = -(-side // (first_stride if index == 0 else 1))
            total += side**2 * channels * hidden + out_side**2 * (9 * hidden + hidden * out_channels)
            channels, side = out_channels, out_side
    return total + side**2 * 320 * 1280 + 1280 * 100


def test_mdnet_by_formula():
    """MobileNetV2 and the block. The authors' code computes qkv three times and the dead q and k: 105.5e6."""
    assert COSTS['mobilenet_v2_cifar']['macs'] == _mobilenet_v2_by_formula()
    positions = 34**2
    attention = 32 * 96 + 32 * 3 * 49 + 32 * 32
    feed_forward = 32 * 128 + 128 * (9 + 25) + 64 * 2 * (9 + 25) + 128 * 32
    assert COSTS['mdnet']['macs'] == _mobilenet_v2_by_formula() + positions * (attention + feed_forward)
    dead = 2 * 32 * 96 + 32 * 3 * (9 + 25)
    assert f'{(COSTS["mdnet"]["macs"] + positions * dead) / 1e6:.1f}' == '105.5'


def test_corrected_mdnet_attention_counts_its_products():
    with meta_device():
        attention = find_attention(create_model('mdnet'))
        found = count(type(attention)(32, num_heads=8), torch.empty(1, 32, 10, 12))
    # In each of 8 heads two maps of 4 x 4 over 120 positions, and one product with the values.
    assert found.macs_by_kind['attention'] == 8 * 3 * 4 * 4 * 120


def find_attention(model):
    return next(m for m in model.modules() if type(m).__name__ == 'DifferentialChannelAttention')


# ---------------------------------------------------------------------------------------------- publications


def _their_pools(model: nn.Module) -> list[tuple[nn.Module, float]]:
    """The modules in which the authors pool by a module, and the pooled share of the module's map."""
    shares = {SqueezeExcite: 1, CBAM: 1, EfficientChannelAttention: 1, ShuffleAttention: 0.5, SoftBAN: 1}
    shares[GlobalPool] = 1
    found = [(m, shares[type(m)]) for m in model.modules() if type(m) in shares]
    # Each branch's output is pooled; together they are the output.
    return found + [(m, 1) for m in model.modules() if isinstance(m, BranchAttention)]


@pytest.mark.parametrize(
    ('name', 'four_digits', 'printed'),
    [
        ('resnet50_cifar', '1.2151', '1.215G'),
        ('cbam_resnet50_cifar', '1.2219', '1.222G'),
        ('sa_resnet50_cifar', '1.2160', '1.216G'),
        ('se_resnet50_cifar', '1.2191', '1.219G'),
        ('fca_resnet50_cifar', '1.2175', '1.217G'),
        ('eca_resnet50_cifar', '1.2169', '1.217G'),
        ('epsanet50_cifar', '1.0662', '1.066G'),
        ('emanet50_cifar', '1.1187', '1.119G'),
    ],
)
def test_the_authors_counter_gives_the_published_table(name, four_digits, printed):
    """G = 2^30; 2 for each element of a batch norm and 1 for each that an adaptive pool reads, besides."""
    with meta_device():
        model, image = create_model(name).eval(), torch.empty(1, 3, 32, 32)
    kinds = count(model, image).macs_by_kind
    total = kinds['convolution'] + kinds['linear']

    def add(factor):
        def hook(module, inputs, output):
            nonlocal total
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(module, GlobalPool):
                tensor = inputs[0][0]
            total += int(factor * tensor.numel())

        return hook

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(add(2))
    for module, share in _their_pools(model):
        if not (name == 'resnet50_cifar' and isinstance(module, GlobalPool)):  # a plain pool there
            module.register_forward_hook(add(share))
    model(image)
    assert f'{total / 2**30:.4f}' == four_digits
    assert f'{total / 2**30:.3f}G' == printed
    assert next(row['flops'] for row in REPORTED if row['name'] == name) == printed


def _number(text):
    """'22.43M' -> 22.43 and its last digit's worth, 0.01."""
    digits = re.match(r'[\d.]+', text)[0]
    return float(digits), 10.0 ** -len(digits.partition('.')[2])


@pytest.mark.parametrize('row', REPORTED, ids=lambda row: row['name'])
def test_a_reported_number_is_ours_or_says_why_not(row):
    cost = COSTS[row['name']]
    fits = True
    for ours, text, unit in (
        (cost['params'], row['parameters'], row['parameter_unit']),
        (cost['macs'], row['flops'], row['flop_unit']),
    ):
        if text:
            base, exponent = map(int, unit.split('^'))
            number, last_digit = _number(text)
            fits = fits and abs(ours / base**exponent - number) <= last_digit / 2
    assert fits == (row['why'] == '')
    assert row['source'].count('/') == 1
    assert row['accuracy']


def test_each_model_is_reported_once():
    names = [row['name'] for row in REPORTED]
    assert len(set(names)) == len(names)


def test_published_parameters_of_emanet_leave_out_soft_ban():
    assert f'{(COSTS["emanet50_cifar"]["params"] - 15_104) / 2**20:.3f}' == '20.195'


@pytest.mark.parametrize(('kind', 'parameters'), [('se', '28.09'), ('cbam', '28.09')])
def test_published_parameters_fit_gates_with_biases(kind, parameters):
    with meta_device():
        model = create_model(f'{kind}_resnet50')
    blocks = [m for m in model.modules() if isinstance(m, (Bottleneck, BasicBlock))]
    biases = sum(m.bn3.num_features + m.bn3.num_features // 16 for m in blocks)
    assert f'{(COSTS[f"{kind}_resnet50"]["params"] + biases) / 1e6:.2f}' == parameters
