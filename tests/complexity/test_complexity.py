"""Counts against formulas, and the memory of a training step against sums by hand."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.ops import DeformConv2d, StochasticDepth

from mdvision.complexity import count as complexity
from mdvision.complexity import meta_operators, training_memory
from mdvision.complexity.count import count, measure
from mdvision.complexity.training_memory import training_bytes
from mdvision.models.named import create_model


class Call(nn.Module):
    """A module that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def macs(module, *shapes, **kwargs):
    """What is counted, without the zeros."""
    counted = count(module, *(torch.empty(shape) for shape in shapes), **kwargs)
    return {kind: number for kind, number in counted.macs_by_kind.items() if number}


# ---------------------------------------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ('layer', 'shape', 'expected'),
    [
        # out elements * input channels of a group * kernel
        (nn.Conv2d(6, 8, 3, padding=1), (2, 6, 10, 12), 2 * 8 * 10 * 12 * 6 * 9),
        (nn.Conv2d(6, 8, 3, padding=1, bias=False), (2, 6, 10, 12), 2 * 8 * 10 * 12 * 6 * 9),
        (nn.Conv2d(6, 9, 3, groups=3), (1, 6, 10, 12), 9 * 8 * 10 * 2 * 9),
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), (1, 8, 7, 9), 8 * 7 * 9 * 25),
        (nn.Conv2d(8, 16, (1, 7), groups=8), (1, 8, 7, 9), 16 * 7 * 3 * 7),
        (nn.Conv2d(4, 8, 3, stride=2), (1, 4, 11, 13), 8 * 5 * 6 * 4 * 9),
        (nn.Conv2d(4, 8, 3, dilation=2), (1, 4, 11, 13), 8 * 7 * 9 * 4 * 9),
        (nn.Conv1d(4, 8, 3, groups=2), (3, 4, 11), 3 * 8 * 9 * 2 * 3),
        (nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7), 4 * 3 * 4 * 5 * 2 * 27),
        # each input element goes to every output channel of its group and tap
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 7), 4 * 5 * 7 * 6 * 9),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (1, 4, 5, 7), 4 * 5 * 7 * 3 * 9),
    ],
)
def test_convolutions(layer, shape, expected):
    assert macs(layer, shape) == {'convolution': expected}
    activations = count(layer, torch.empty(shape)).activations
    assert activations == copy.deepcopy(layer)(torch.empty(shape)).numel()


def test_a_deformable_convolution_is_a_convolution():
    layer = DeformConv2d(8, 12, 3, padding=1, groups=2)
    found = macs(layer, (1, 8, 5, 6), (1, 18, 5, 6))
    assert found == {'convolution': 12 * 5 * 6 * 4 * 9}


@pytest.mark.parametrize(
    ('bias', 'shape'), [(True, (5, 7)), (False, (2, 5, 7)), (True, (2, 3, 5, 7)), (True, (7,))]
)
def test_linear(bias, shape):
    rows = math.prod(shape[:-1])
    found = count(nn.Linear(7, 11, bias=bias), torch.empty(shape))
    assert found.macs_by_kind == dict(convolution=0, linear=rows * 7 * 11, attention=0, fft=0)
    assert found.activations == rows * 11
    assert found.params == 77 + 11 * bias


class EinsumLinear(nn.Module):
    """A linear layer written as einsum, which runs as a batched product."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(5, 11))

    def forward(self, x):
        return torch.einsum('bchw,cd->bdhw', x, self.weight.softmax(0))


def test_a_product_with_weights_is_linear_however_it_is_written():
    assert macs(EinsumLinear(), (2, 5, 3, 4)) == {'linear': 2 * 3 * 4 * 5 * 11}


@pytest.mark.parametrize(
    ('function', 'shapes', 'expected'),
    [
        (lambda q, k: torch.einsum('bhqd,bhkd->bhqk', q, k), [(2, 3, 5, 7), (2, 3, 4, 7)], 2 * 3 * 5 * 4 * 7),
        (lambda q, k: q @ k.transpose(-2, -1), [(2, 3, 5, 7), (2, 3, 4, 7)], 2 * 3 * 5 * 4 * 7),
        (lambda q, k: q @ k, [(5, 7), (7, 4)], 5 * 4 * 7),  # without a batch
        (lambda q, k: q @ k, [(5, 7), (7,)], 5 * 7),
        (lambda q, k: q @ k, [(7,), (7,)], 7),
        (lambda q, k: torch.baddbmm(q.sum(), q, k), [(3, 5, 7), (3, 7, 4)], 3 * 5 * 4 * 7),
        (lambda q, k: torch.addbmm(q.sum(), q, k), [(3, 5, 7), (3, 7, 4)], 3 * 5 * 4 * 7),
        (lambda q, k: torch.addmv(q.sum(), q, k), [(5, 7), (7,)], 5 * 7),
        (lambda x, y: torch.einsum('bchw,bcHW->bhwHW', x, y), [(2, 3, 4, 5), (2, 3, 2, 2)], 2 * 3 * 20 * 4),
    ],
)
def test_a_product_of_two_activations_is_attention(function, shapes, expected):
    assert macs(Call(function), *shapes) == {'attention': expected}


@pytest.mark.parametrize('device', ['meta', 'cpu'])
@pytest.mark.parametrize(
    'arguments',
    [{}, dict(dropout_p=0.1), dict(is_causal=True), dict(attn_mask=torch.zeros(65, 65, device='meta'))],
)
def test_scaled_dot_product_attention(arguments, device):
    """Two products of N x N x d for each head and image, whatever kernel the device would choose."""
    attend = Call(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **arguments))
    found = count(attend, *(torch.empty(2, 3, 65, 16, device=device) for _ in range(3)))
    assert found.macs_by_kind == dict(convolution=0, linear=0, attention=2 * 2 * 3 * 65 * 65 * 16, fft=0)
    assert found.activations == 2 * 3 * (65 * 65 + 65 * 16)


class SelfAttention(nn.Module):
    def __init__(self, need_weights):
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x):
        return self.attention(x, x, x, need_weights=self.need_weights)


@pytest.mark.parametrize('need_weights', [True, False])
def test_multi_head_attention_is_not_lost_in_the_fast_path(need_weights):
    enabled = torch.backends.mha.get_fastpath_enabled()
    products = {'linear': 2 * 9 * 4 * 32 * 32, 'attention': 2 * 2 * 9 * 9 * 32}
    assert macs(SelfAttention(need_weights), (2, 9, 32)) == products
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    products['linear'] += 2 * 9 * 2 * 32 * 64
    assert macs(layer, (2, 9, 32)) == products
    assert torch.backends.mha.get_fastpath_enabled() == enabled


def test_fourier_transforms_are_butterflies():
    """N/2 log2 N butterflies of four real multiply-adds; half for a real transform."""
    points = 8 * 16
    butterflies = points // 2 * 7
    real = Call(lambda x: torch.fft.irfft2(torch.fft.rfft2(x)))
    assert macs(real, (2, 3, 8, 16)) == {'fft': 2 * (2 * 3 * butterflies * 4 // 2)}
    both = Call(lambda x: torch.fft.ifft2(torch.fft.fft2(torch.complex(x, x))))
    assert macs(both, (2, 3, 8, 16)) == {'fft': 2 * (2 * 3 * butterflies * 4)}
    one_axis = Call(lambda x: torch.fft.rfft(x, dim=2))
    assert macs(one_axis, (2, 3, 8, 16)) == {'fft': 2 * 3 * 16 * (8 // 2 * 3) * 4 // 2}
    odd = Call(lambda x: torch.fft.rfft(x))
    assert macs(odd, (1, 1, 1, 15)) == {'fft': round(15 * math.log2(15))}


@pytest.mark.parametrize(
    'layer',
    [
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Softmax(1),
        nn.Upsample(scale_factor=2, mode='bilinear'),
        Call(lambda x: x * x.mean((2, 3), keepdim=True)),
    ],
)
def test_what_counts_nothing(layer):
    counted = count(layer, torch.empty(1, 4, 8, 8))
    assert (counted.macs, counted.activations) == (0, 0)


def test_an_operator_without_a_formula_is_named():
    found = count(
        Call(lambda x: torch.ops.torchvision.roi_align(x, x[0, 0, :, :5], 1.0, 2, 2, 1, False)),
        torch.empty(1, 4, 8, 8),
    )
    assert found.uncounted == ('torchvision.roi_align',)


def test_inference_mode_around_the_call_changes_nothing():
    layer = nn.Linear(7, 11)
    with torch.inference_mode():
        found = measure(layer, torch.empty(2, 7))
    assert found == measure(layer, torch.empty(2, 7))
    assert found.macs == 2 * 7 * 11


# ---------------------------------------------------------------------------------------------- models


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.backbone.blocks = nn.ModuleList([nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)])
        self.backbone.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.backbone.register_buffer('table', torch.zeros(5))
        self.backbone.register_buffer('scratch', torch.zeros(9), persistent=False)
        self.backbone.forward = self.features
        self.head = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
        self.head[1].weight.requires_grad_(False)

    def features(self, x):
        x = self.backbone.stem(x)
        for block in self.backbone.blocks:
            x = block(x)
        return x * self.backbone.scale

    def forward(self, x):
        return self.head(self.backbone.forward(x).mean((2, 3)))


def test_stages_are_the_children_of_the_backbone_and_of_the_model():
    counted = count(Net(), torch.empty(1, 3, 4, 4))
    stages = {name: (cost.params, cost.total_macs, cost.activations) for name, cost in counted.stages.items()}
    assert stages == {
        'backbone': (8, 0, 0),
        'backbone.stem': (224, 8 * 16 * 27, 8 * 16),
        'backbone.blocks': (144, 2 * 8 * 8 * 16, 2 * 8 * 16),
        'head': (46, 40, 6),
    }
    assert list(stages) == ['backbone', 'backbone.stem', 'backbone.blocks', 'head']
    assert (counted.params, counted.trainable_params) == (8 + 224 + 144 + 46, 8 + 224 + 144 + 46 - 8)
    assert counted.stored_buffers == 5
    assert list(count(Net(), torch.empty(1, 3, 4, 4), depth=1).stages) == ['backbone', 'head']
    assert 'backbone.blocks.1' in count(Net(), torch.empty(1, 3, 4, 4), depth=3).stages


def test_what_no_module_of_the_model_does_belongs_to_the_model():
    hidden = nn.Linear(4, 5, device='meta')
    found = count(
        nn.Sequential(nn.Linear(3, 4)), torch.empty(1, 3), forward=lambda model, x: hidden(model(x))
    )
    assert {name: cost.total_macs for name, cost in found.stages.items()} == {'': 20, '0': 12}


def test_the_model_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    measure(model, torch.empty(1, 3, 8, 8))
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_shared_weight_counts_once_and_its_products_each_time():
    linear = nn.Linear(4, 4, bias=False)
    counted = measure(nn.Sequential(linear, linear), torch.empty(1, 4))
    assert (counted.params, counted.macs) == (16, 32)


# ---------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize('device', ['meta', 'cpu'])
@pytest.mark.parametrize(('layers', 'batch', 'width'), [(4, 64, 8), (6, 1, 64), (3, 7, 5)])
def test_memory_of_a_chain_of_linear_layers(layers, batch, width, device):
    """By hand: when layer k has made its gradients, there are all weights and the gradients of layers
    k to n; the input, the outputs of layers 1 to k-1 (saved) and of n (returned); the gradients of
    the output (below n; that of the sum is one number) and of the input (above 1) of layer k; the
    sum and its gradient of one."""
    with torch.device(device):
        model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))
        found = training_bytes(model, torch.zeros(batch, width))
    moments = (
        (layers + layers - k + 1) * width**2 + (1 + k - 1 + 1 + (k < layers) + (k > 1)) * batch * width + 2
        for k in range(1, layers + 1)
    )
    assert found == 4 * max(moments)


@pytest.mark.parametrize('name', ['resnet18_cifar', 'emanet50_cifar', 'vit_nano', 'dems_vit_tiny', 'mdnet'])
def test_memory_on_meta_is_that_of_a_real_step(name):
    """The same operators on real tensors: storages of the same sizes live at the same times."""
    model = create_model(name)
    image = torch.zeros(1, 1, 28, 28) if name == 'vit_nano' else torch.zeros(1, 3, 32, 32)
    expected = measure(model, image).training_bytes
    assert training_bytes(model.train(), image) == expected


def test_checkpointing_saves_memory_and_adds_no_multiply_adds():
    image = torch.empty(1, 3, 32, 32)
    plain = measure(create_model('resnet50_cifar'), image)
    saving = measure(create_model('resnet50_cifar', with_cp=True), image)
    assert saving.training_bytes < plain.training_bytes
    assert saving.stages == plain.stages


def test_frozen_layers_have_no_gradients():
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False))
    all_trained = measure(model, torch.empty(1, 64)).training_bytes
    model[0].requires_grad_(False)
    # Neither the gradient of the first weight nor that of the first output, and the sum stays.
    assert all_trained - measure(model, torch.empty(1, 64)).training_bytes == 4 * (64 * 64)
    model.requires_grad_(False)
    assert measure(model, torch.empty(1, 64)).training_bytes == 4 * (2 * 64 * 64 + 3 * 64)


def test_training_parts_run_without_contents():
    class Everything(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 4, 3),
                nn.BatchNorm2d(4),
                nn.Dropout(0.1),
                nn.ReLU(inplace=True),
                StochasticDepth(0.2, 'row'),
            )

        def forward(self, x):
            return checkpoint(self.body, x, use_reentrant=False)

    assert measure(Everything(), torch.empty(1, 3, 8, 8)).training_bytes > 0


@pytest.mark.parametrize(
    'name', ['resnet18_cifar', 'sa_resnet50_cifar', 'diff_vit_nano_legacy', 'dems_vit_tiny', 'mdnet']
)
def test_results_made_from_memory_are_those_of_the_operators(name, monkeypatch):
    """The shortcut of meta_operators against running every operator."""
    model = create_model(name)
    image = torch.empty(1, 1, 28, 28) if 'nano' in name else torch.empty(1, 3, 32, 32)
    short = measure(model, image)
    for module in (complexity, training_memory):
        monkeypatch.setattr(module, 'run_operator', lambda func, args, kwargs: func(*args, **kwargs))
    assert measure(model, image) == short


def test_results_that_share_memory_are_not_made_from_memory():
    x = torch.empty(2, 3, device='meta')
    for _ in range(2):
        view = meta_operators.run_operator(torch.ops.aten._unsafe_view.default, (x, [3, 2]), {})
        assert view.untyped_storage()._cdata == x.untyped_storage()._cdata
        assert meta_operators.run_operator(torch.ops.aten.relu_.default, (x,), {}) is x
        made = meta_operators.run_operator(torch.ops.aten.mul.Tensor, (x, x.int()), {})
        assert (made.shape, made.dtype, made.device.type) == (x.shape, x.dtype, 'meta')
        real = meta_operators.run_operator(torch.ops.aten.zeros.default, ([2],), dict(device='cpu'))
        assert real.tolist() == [0, 0]
