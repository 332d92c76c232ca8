"""Tests of the torchvision backend, also in an environment where mmcv's compiled extension loads."""

import importlib
import sys

import pytest
import torch

from mdvision import ops

ops.activate()

# the modules of mmcv.ops that call the backend
CALLERS = (
    'nms', 'roi_align', 'roi_pool', 'focal_loss', 'deform_conv', 'modulated_deform_conv', 'carafe',
    'multi_scale_deform_attn', 'bbox',
)  # fmt: skip


@pytest.fixture(autouse=True)
def torchvision_backend(monkeypatch):
    """Points mmcv.ops at the torchvision backend and returns it."""
    import mmcv.ops  # noqa: F401

    backend = importlib.import_module('mdvision.ops.torchvision_backend')
    for name in CALLERS:
        monkeypatch.setattr(sys.modules[f'mmcv.ops.{name}'], 'ext_module', backend)
    return backend


@pytest.fixture
def rng():
    """A seeded torch generator."""
    return torch.Generator().manual_seed(0)
