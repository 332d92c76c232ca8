"""DEMS-ViT: single modules as the authors', identities of its parts, sizes, and the host's demands."""

import math

import pytest
import torch
from torch import nn

from mdvision import UserError
from mdvision.converters.dems import KEY_MAPS
from mdvision.meta_device import meta_device
from mdvision.models.backbones.dems_vit import DEMSViT, RegionMerge
from mdvision.models.layers.dems_block import FactorizedPatchEmbed, sine_cosine_positions
from tests import golden

MODULES = golden.load_modules('modules_lma_mdnet_dems_diffvit')
SMALL = dict(embed_dim=16, num_heads=2, depth=4, merge_counts=(8, 4), merge_layers=(2, 4))
S = dict(embed_dim=384, num_heads=6, merge_counts=(64, 32))
KEY_MAP = KEY_MAPS['dems_vit']


def small(**arguments):
    """A small model, with weights so large that every part matters to the output."""
    torch.manual_seed(0)
    model = DEMSViT(**{**SMALL, **arguments}).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model


def some_loss(output):
    """Not a function of the mean and the variance only, which the last norm fixes."""
    return (output * torch.linspace(-1, 1, output.shape[1], dtype=output.dtype)).sum()


def count(module):
    return sum(p.numel() for p in module.parameters())


def input_of(model, module, images):
    """What ``module`` of ``model`` gets for some images."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model(images)
    handle.remove()
    return seen[0]


def test_merge_agrees_with_the_authors():
    golden.check_module(MODULES['dems.interaction'], RegionMerge(64, 12))


def test_factorised_tokeniser_agrees_with_the_authors():
    names = {'proj-1': 'depthwise1', 'proj-2': 'depthwise2', 'point_wise': 'pointwise'}
    golden.check_module(
        MODULES['dems.patch8'],
        FactorizedPatchEmbed(3, 64, patch_size=16),
        lambda name: f'{names[name.split(".")[1]]}.{name.split(".")[2]}',
    )


def test_positions_are_the_formula_row_first_on_a_grid_that_is_not_square():
    height, width, dim = 3, 5, 16
    table = sine_cosine_positions(height, width, dim)
    assert table.shape == (15, 16) and table.dtype == torch.float32
    for row in range(height):
        for column in range(width):
            rates = [10000 ** (-k / (dim // 4)) for k in range(dim // 4)]
            want = [
                wave(at * rate) for at in (row, column) for wave in (math.sin, math.cos) for rate in rates
            ]
            torch.testing.assert_close(table[row * width + column], torch.tensor(want))


def test_regions_are_those_of_a_loop_over_the_indices():
    model = small()
    images = torch.randn(2, 3, 32, 48)
    rows, columns = 2, 3  # of regions of 16 pixels
    tokens = input_of(model, model.blocks[0], images)
    assert tokens.shape == (2, 1 + 85 * 6, 16)
    torch.testing.assert_close(tokens[:, 0], model.cls_token[0].expand(2, -1))
    by_scale = {}
    for scale, suffix in {1: '', 2: '_2', 4: '_4', 8: '_8'}.items():
        side = 8 // scale
        embedded = getattr(model, f'patch_embed{suffix}')(images)
        by_scale[scale] = embedded + sine_cosine_positions(rows * side, columns * side, 16)
    want = []
    for region_row in range(rows):
        for region_column in range(columns):
            for scale in (1, 2, 4, 8):
                n = 8 // scale
                for i in range(n):
                    for j in range(n):
                        index = (n * region_row + i) * (n * columns) + n * region_column + j
                        want.append(by_scale[scale][:, index])
    torch.testing.assert_close(tokens[:, 1:], torch.stack(want, 1))


def test_merged_tokens_are_convex_combinations():
    merge = RegionMerge(16, 5)
    tokens = torch.randn(2, 3, 85, 16)
    weights = merge.weights(tokens)
    assert weights.shape == (2, 3, 85, 5) and (weights >= 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, 5))
    merged = merge(tokens)
    torch.testing.assert_close(merged, torch.einsum('brtk,brtd->brkd', weights, tokens))
    low, high = tokens.amin(2, keepdim=True), tokens.amax(2, keepdim=True)
    assert ((merged >= low - 1e-6) & (merged <= high + 1e-6)).all()


def test_merge_with_scale_zero_is_the_mean():
    merge = RegionMerge(16, 5)
    nn.init.zeros_(merge.scale)
    tokens = torch.randn(2, 3, 85, 16)
    torch.testing.assert_close(merge(tokens), tokens.mean(2, keepdim=True).expand(-1, -1, 5, -1))


def test_merge_does_not_see_the_order_of_a_region_but_sees_the_region():
    merge = RegionMerge(16, 5)
    tokens = torch.randn(1, 2, 85, 16)
    merged = merge(tokens)
    torch.testing.assert_close(merge(tokens[:, :, torch.randperm(85)]), merged)
    tokens[:, 1] = 0
    assert torch.equal(merge(tokens)[:, 0], merged[:, 0])


def test_class_token_passes_a_merge_untouched():
    model = small()
    images = torch.randn(2, 3, 32, 32)
    seen = []
    handles = [
        model.blocks[0].register_forward_hook(lambda *arguments: seen.append(arguments[2])),
        model.blocks[1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])),
    ]
    model(images)
    for handle in handles:
        handle.remove()
    before, after = seen
    assert before.shape == (2, 1 + 85 * 4, 16) and after.shape == (2, 1 + 8 * 4, 16)
    assert torch.equal(before[:, 0], after[:, 0])


def test_quirk_5_the_bias_of_a_merge_changes_nothing_and_can_be_omitted():
    with_bias, without = small().double(), small(merge_bias=False).double()
    assert count(with_bias) - count(without) == 8 + 4
    for merge in with_bias.merges:
        nn.init.normal_(merge.fc3.bias)
    state = with_bias.state_dict()
    without.load_state_dict({k: v for k, v in state.items() if not k.endswith('fc3.bias')})
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(with_bias(images)[0], without(images)[0])
    some_loss(with_bias(images)[0]).backward()
    for merge in with_bias.merges:
        assert merge.fc3.weight.grad.norm() > 1e-6
        assert merge.fc3.bias.grad.norm() <= 1e-12 * merge.fc3.weight.grad.norm()


@pytest.mark.parametrize('size', [(64, 96), (16, 32)])
def test_quirk_4_another_size_answers_as_a_model_of_that_size(size):
    images = torch.randn(2, 3, *size)
    model, of_size = small(), small(image_size=size)
    of_size.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(model(images)[0], of_size(images)[0])
    assert of_size.pos_embed_8.shape == (1, size[0] * size[1] // 256, 16)
    transposed = model(images.transpose(2, 3))[0]
    assert (transposed - model(images)[0]).abs().max() > 0.01


@pytest.mark.parametrize(
    ('arguments', 'classes', 'params', 'tables'),
    [
        (dict(), 100, 5_600_258, 65_280),
        (S, 100, 22_253_154, 130_560),
        (dict(image_size=256, patch_size=16), 101, 6_329_991, 65_280),
        (dict(S, image_size=256, patch_size=16), 101, 23_708_839, 130_560),
    ],
)
def test_parameter_counts_on_the_meta_device(arguments, classes, params, tables):
    with meta_device():
        model = DEMSViT(**arguments)
        images = torch.zeros(1, 3, *[arguments.get('image_size', 32)] * 2)
    width = model.out_channels[0]
    assert count(model) + classes * (width + 1) == params
    assert sum(b.numel() for b in model.buffers()) == tables
    assert model(images)[0].shape == (1, width)
    assert model.out_strides == ()


def test_tables_are_no_part_of_the_state():
    model = small()
    assert not [name for name in model.state_dict() if 'pos_embed' in name]
    torch.testing.assert_close(model.pos_embed[0], sine_cosine_positions(16, 16, 16))


def test_initial_values():
    model = DEMSViT()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert 0.018 < module.weight.std() < 0.022
            assert module.bias is None or not module.bias.any()
        if isinstance(module, RegionMerge):
            assert module.scale.item() == 1
    assert 0.01 < model.cls_token.std() < 0.03


def test_mlp_ratio_for_each_range_between_the_merges():
    widths = [block.mlp.fc1.out_features // 16 for block in small(mlp_ratio=(1, 2, 3)).blocks]
    assert widths == [1, 2, 2, 3]


def test_no_merge_at_all():
    model = small(merge_counts=(), merge_layers=())
    assert input_of(model, model.blocks[-1], torch.randn(1, 3, 32, 32)).shape == (1, 341, 16)


@pytest.mark.parametrize('in_channels', [1, 4])
def test_other_image_channels(in_channels):
    assert small(in_channels=in_channels)(torch.randn(2, in_channels, 32, 32))[0].shape == (2, 16)


def official(model):
    """The state of a model as the authors' file has it: both norms, and the tables."""
    state = {'module.head.weight': torch.zeros(10, 16), 'module.head.bias': torch.zeros(10)}
    names = {
        '.depthwise1.': '.proj.proj-1.',
        '.depthwise2.': '.proj.proj-2.',
        '.pointwise.': '.proj.point_wise.',
    }
    for name, tensor in model.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        for k in (1, 2):
            if name.startswith(f'merges.{k - 1}.norm.'):
                state[f'module.norm_merge{k}.{name.split(".")[-1]}'] = tensor
            name = name.replace(f'merges.{k - 1}.', f'mlp{k}.')
        state[f'module.{name}'] = tensor
    for name, table in model.named_buffers():
        state[f'module.{name}'] = table.clone()
    return state


def test_converter_takes_the_doubly_named_norms_and_checks_the_tables():
    model = small()
    state = official(model)
    converted = KEY_MAP.convert(state)
    want = {f'backbone.{name}' for name in model.state_dict()} | {'head.fc.weight', 'head.fc.bias'}
    assert set(converted) == want
    for name, tensor in model.state_dict().items():
        assert torch.equal(converted[f'backbone.{name}'], tensor)

    wrong = dict(state)
    wrong['module.pos_embed_2'] = state['module.pos_embed_2'].flip(1)
    with pytest.raises(UserError, match=r'pos_embed_2 .* is not the table'):
        KEY_MAP.convert(wrong)
    wrong['module.pos_embed_2'] = torch.zeros(1, 60, 16)
    with pytest.raises(UserError, match=r'pos_embed_2 .* is not the table'):
        KEY_MAP.convert(wrong)
    wrong = dict(state)
    wrong['module.norm_merge1.weight'] = state['module.norm_merge1.weight'] + 1
    with pytest.raises(UserError, match=r'merges\.0\.norm\.weight'):
        KEY_MAP.convert(wrong)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: DEMSViT(num_heads=5), 'num_heads must divide embed_dim=192, got num_heads=5'),
        (lambda: DEMSViT(num_heads=0), 'num_heads must divide'),
        (lambda: DEMSViT(embed_dim=18, num_heads=3), 'embed_dim must be a multiple of 4 .* got 18'),
        (lambda: DEMSViT(image_size=40), 'image_size must be multiples of 16 .* got 40 x 40.* to 48 x 48'),
        (lambda: DEMSViT(image_size=(32, 33)), r'got 32 x 33\. Resize or pad .* 32 x 48'),
        (lambda: DEMSViT(merge_layers=(0, 6)), r'numbers of blocks, 1 to 12, got \(0, 6\)'),
        (lambda: DEMSViT(merge_layers=(6, 13)), r'1 to 12, got \(6, 13\)'),
        (lambda: DEMSViT(merge_layers=(10, 6)), 'increasing'),
        (lambda: DEMSViT(merge_layers=(6, 6)), 'increasing'),
        (lambda: DEMSViT(merge_layers=(6,)), r'one of merge_counts .* \(64, 64\) and \(6,\)'),
        (lambda: DEMSViT(mlp_ratio=(4, 4)), r'one number, or 3, .* got \(4, 4\)'),
        (lambda: DEMSViT(frozen_stages=13), 'frozen_stages must be -1 .* got 13'),
        (
            lambda: small()(torch.zeros(1, 3, 40, 32)),
            'the image must be multiples of 16 .* 40 x 32.* 48 x 32',
        ),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_compiles_with_drop_path():
    torch._dynamo.reset()
    model = small(drop_path_rate=0.5, drop_rate=0.1, attn_drop_rate=0.1).train()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    assert compiled(torch.randn(2, 3, 32, 32))[0].isfinite().all()


def test_exports_with_any_batch():
    model = small()
    images = torch.randn(3, 3, 32, 32)
    batch = torch.export.Dim('batch', min=1)
    exported = torch.export.export(model, (images,), dynamic_shapes={'x': {0: batch}}).module()
    for number in (1, 3, 5):
        images = torch.randn(number, 3, 32, 32)
        torch.testing.assert_close(exported(images)[0], model(images)[0])


def test_autocast():
    model = small()
    with torch.autocast('cpu', torch.bfloat16):
        some_loss(model(torch.randn(2, 3, 32, 32))[0].float()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 2, 4])
def test_frozen_stages(frozen_stages):
    model = small(frozen_stages=frozen_stages, norm_eval=True, drop_path_rate=0.5).train()
    stages = [
        ('cls_token', 'patch_embed.', 'patch_embed_2.', 'patch_embed_4.', 'patch_embed_8.'),
        ('blocks.0.',),
        ('blocks.1.', 'merges.0.'),
        ('blocks.2.',),
        ('blocks.3.', 'merges.1.', 'norm.'),
    ]
    frozen = tuple(prefix for stage in stages[: frozen_stages + 1] for prefix in stage)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name
    for index, block in enumerate(model.blocks):
        assert block.training == (index + 1 > frozen_stages)
    if frozen_stages < 4:
        some_loss(model(torch.randn(2, 3, 32, 32))[0]).backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_drop_path_grows_linearly_and_drops_whole_samples():
    model = small(drop_path_rate=0.3)
    assert [block.drop_path.p for block in model.blocks] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert small(depth=1, merge_counts=(), merge_layers=(), drop_path_rate=0.3).blocks[0].drop_path.p == 0
    torch.manual_seed(0)
    kept = model.blocks[-1].drop_path.train()(torch.ones(20_000, 2, 3)).flatten(1)
    assert (kept == kept[:, :1]).all()
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert abs((kept[:, 0] == 0).float().mean() - 0.3) < 0.02
    block = model.blocks[-1].train()
    tokens = torch.randn(64, 5, 16)
    unchanged = (block(tokens) == tokens).flatten(1).all(1)  # both branches dropped: 9 %
    assert 0 < unchanged.sum() < 20
    block.eval()
    assert torch.equal(block(tokens), block(tokens))


@pytest.mark.parametrize('name', ['drop_rate', 'attn_drop_rate'])
def test_dropouts_act_in_training_only(name):
    model = small(**{name: 0.5})
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images)[0], small()(images)[0])
    model.train()
    assert (model(images)[0] - model(images)[0]).abs().max() > 0.01
