"""Each attention module answers as the authors' implementation of it, alone, in float64."""

import pytest

from mdvision.models.attention import (
    CBAM,
    EfficientChannelAttention,
    FrequencyChannelAttention,
    LightweightMixedDomainAttention,
    MultiScaleAttention,
    PyramidSplitAttention,
    ShuffleAttention,
    SqueezeExcite,
)
from mdvision.models.attention.multi_scale import _mixer_branch
from mdvision.models.layers import SoftBAN
from tests import golden

EMANET_AND_BASELINES = golden.load_modules('modules_emanet_and_baselines')
LMA = {
    key: fixture
    for key, fixture in golden.load_modules('modules_lma_mdnet_dems_diffvit').items()
    if key.startswith('lma')
}
FIXTURES = EMANET_AND_BASELINES | LMA


def _mixer(kernel_size, stride, spatial_group_norm):
    return _mixer_branch(64, 16, kernel_size, stride, 4, 9, spatial_group_norm, soft_ban={})


# fixture: a fresh module of ours
MODULES = {
    'emanet.softban': lambda: SoftBAN(16),
    'emanet.mixer': lambda: _mixer(5, 2, spatial_group_norm=False),
    'emanet.ma': lambda: MultiScaleAttention(64),
    'emanet.ma_stride2': lambda: MultiScaleAttention(128, stride=2, groups=(1, 2, 4, 8)),
    'emanet_mini.mixer': lambda: _mixer(7, 1, spatial_group_norm=True),
    'se': lambda: SqueezeExcite(64),
    'cbam.ca': lambda: CBAM(64).ca,
    'cbam.sa': lambda: CBAM(64).sa,
    'eca': lambda: EfficientChannelAttention(64, kernel_size=5),
    'sa': lambda: ShuffleAttention(256),
    'fca56': lambda: FrequencyChannelAttention(64, grid=56),
    'fca7': lambda: FrequencyChannelAttention(64, grid=7),
    'epsa.psa': lambda: PyramidSplitAttention(64),
    'lma96': lambda: LightweightMixedDomainAttention(96),
    'lma2048': lambda: LightweightMixedDomainAttention(2048),
}


def _our_name(name: str) -> str:
    return name.replace('se.fc1.', 'se.fc.0.').replace('se.fc2.', 'se.fc.2.')


def test_every_fixture_has_a_module():
    assert set(FIXTURES) == set(MODULES)


@pytest.mark.parametrize('key', MODULES)
def test_outputs_and_gradients_agree(key):
    golden.check_module(FIXTURES[key], MODULES[key](), rename=_our_name)
