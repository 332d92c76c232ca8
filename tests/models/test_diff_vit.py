"""DiffViT: attentions as the authors', their identities, every correction, and the host's demands."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdvision import UserError
from mdvision.converters.nano_diff_vit import KEY_MAPS
from mdvision.meta_device import meta_device
from mdvision.models.backbones.diff_vit import DiffViT
from mdvision.models.layers import (
    GELUMLP,
    DifferentialAttention,
    LegacyDifferentialAttention,
    SelfAttention,
)
from mdvision.models.layers.differential_attention import initial_lambda
from mdvision.models.necks.mlp_logits import MLPLogits
from tests import golden

MODULES = golden.load_modules('modules_lma_mdnet_dems_diffvit')
ATTENTIONS = ('self', 'differential', 'legacy')
TWO_MAPS = ('differential', 'legacy')


def vit(attention='differential', **arguments):
    torch.manual_seed(0)
    return DiffViT(attention, **arguments).eval()


def images(batch=2, channels=1, size=(28, 28), dtype=None):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def count(module):
    return sum(p.numel() for p in module.parameters())


def share_state(source, target):
    """Give ``target`` what ``source`` has of its parameters."""
    own = target.state_dict()
    state = {name: tensor for name, tensor in source.state_dict().items() if name in own}
    return target.load_state_dict(state, strict=False)


def change(model, other, **arguments):
    """By how much the outputs of two models differ."""
    x = images(dtype=torch.float64, **arguments)
    with torch.no_grad():
        return (model.double()(x)[0] - other.double()(x)[0]).abs().max().item()


@pytest.mark.parametrize(
    ('key', 'make'),
    [
        ('nano.mha', lambda: SelfAttention(32, 4)),
        ('nano.diff0', lambda: DifferentialAttention(32, 2, layer_index=0)),
        ('nano.diff1', lambda: DifferentialAttention(32, 2, layer_index=1)),
        ('nano.diff_legacy0', lambda: LegacyDifferentialAttention(32, 2, layer_index=0)),
    ],
)
def test_attention_agrees_with_the_authors(key, make):
    golden.check_module(MODULES[key], make())


def test_initial_lambda_is_the_formula_in_float32():
    values = [initial_lambda(index) for index in range(4)]
    assert values == pytest.approx([-0.00991528, 0.2, 0.35550907, 0.47071302], abs=1e-7)
    assert values[0] == pytest.approx(-0.00991535, abs=1e-8)
    with meta_device():
        assert initial_lambda(3) == values[3]


def test_self_attention_is_a_loop_over_the_heads():
    attention, x = SelfAttention(12, 3), torch.randn(2, 5, 12)
    heads = []
    for j in range(3):
        own = slice(4 * j, 4 * j + 4)
        scores = attention.Q(x)[..., own] @ attention.K(x)[..., own].transpose(1, 2) / 2
        heads.append(scores.softmax(-1) @ attention.V(x)[..., own])
    torch.testing.assert_close(attention(x), attention.out_proj(torch.cat(heads, -1)))


@pytest.mark.parametrize('lambda_per_head', [False, True])
def test_differential_attention_is_a_loop_over_the_heads(lambda_per_head):
    attention = DifferentialAttention(12, 3, layer_index=2, lambda_per_head=lambda_per_head)
    for name, parameter in attention.named_parameters():
        if 'lambda' in name:
            nn.init.normal_(parameter)
    x, heads = torch.randn(2, 5, 12), []
    queries, keys, values = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)
    for j in range(3):
        q1, k1, q2, k2 = (
            getattr(attention, f'lambda_{name}')[j if lambda_per_head else ...]
            for name in ('q1', 'k1', 'q2', 'k2')
        )
        weight = (q1 @ k1).exp() - (q2 @ k2).exp() + 0.35550907
        maps = []
        for start in (8 * j, 8 * j + 4):
            own = slice(start, start + 4)
            maps.append((queries[..., own] @ keys[..., own].transpose(1, 2) / 2).softmax(-1))
        heads.append((maps[0] - weight * maps[1]) @ values[..., 4 * j : 4 * j + 4])
    want = attention.norm(attention.out_proj(torch.cat(heads, -1)))
    torch.testing.assert_close(attention(x), want)


def set_lambda(attention, value):
    """Choose the four vectors so that every head has this lambda."""
    for name, parameter in attention.named_parameters():
        if 'lambda' in name:
            nn.init.zeros_(parameter)
    # exp(q1 . k1) - 1 + l0 with all of q1 . k1 in one entry; or 1 - exp(q2 . k2) + l0.
    excess = value - attention.lambda_init
    which = '1' if excess >= 0 else '2'
    with torch.no_grad():
        getattr(attention, f'lambda_q{which}')[..., 0] = torch.tensor(1 + abs(excess)).log()
        getattr(attention, f'lambda_k{which}')[..., 0] = 1


@pytest.mark.parametrize('index', [0, 1, 3])
def test_differential_attention_with_lambda_zero_is_self_attention(index):
    ours, plain = DifferentialAttention(16, 4, index), SelfAttention(16, 4, key_bias=False)
    set_lambda(ours, 0.0)
    torch.testing.assert_close(ours.second_weight(), torch.zeros(1, 1, 1))
    with torch.no_grad():
        first = torch.arange(32).view(4, 2, 4)[:, 0].flatten()  # the rows of the first map in each head
        plain.Q.weight.copy_(ours.q_proj.weight[first])
        plain.K.weight.copy_(ours.k_proj.weight[first])
        plain.V.weight.copy_(ours.v_proj.weight)
        plain.out_proj.weight.copy_(ours.out_proj.weight)
        plain.out_proj.bias.zero_()
    x = torch.randn(2, 7, 16)
    torch.testing.assert_close(ours(x), ours.norm(plain(x)))


def test_legacy_attention_with_lambda_zero_is_self_attention_under_its_norm():
    ours, plain = LegacyDifferentialAttention(16, 4, 1), SelfAttention(16, 4)
    set_lambda(ours, 0.0)
    plain.load_state_dict(
        {
            'Q.weight': ours.Q1.weight,
            'K.weight': ours.K1.weight,
            'K.bias': ours.K1.bias,
            'V.weight': ours.V.weight,
            'out_proj.weight': torch.eye(16),
            'out_proj.bias': torch.zeros(16),
        }
    )
    nn.init.eye_(ours.out_proj.weight), nn.init.zeros_(ours.out_proj.bias)
    x = torch.randn(2, 7, 16)
    heads = plain(x)
    # Four groups of four channels; statistics over the channels and the tokens.
    groups = heads.unflatten(2, (4, 4))
    mean = groups.mean((1, 3), keepdim=True)
    variance = groups.var((1, 3), keepdim=True, unbiased=False)
    want = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(2)
    torch.testing.assert_close(ours(x), want, rtol=1e-4, atol=1e-5)


def test_equal_maps_leave_one_minus_lambda():
    attention = DifferentialAttention(16, 4, 1)
    attention.norm = nn.Identity()
    set_lambda(attention, 0.75)
    with torch.no_grad():
        for linear in (attention.q_proj, attention.k_proj):
            rows = linear.weight.view(4, 2, 4, 16)
            rows[:, 1] = rows[:, 0]
    x = torch.randn(2, 7, 16)
    got = attention(x)
    set_lambda(attention, 0.0)
    torch.testing.assert_close(got, 0.25 * attention(x))
    set_lambda(attention, 1.0)
    torch.testing.assert_close(attention(x), torch.zeros(2, 7, 16), rtol=0, atol=1e-6)


@pytest.mark.parametrize('make', [SelfAttention, DifferentialAttention, LegacyDifferentialAttention])
def test_shuffled_tokens_get_shuffled_answers(make):
    attention, x, order = make(16, 4), torch.randn(2, 5, 16), torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])


def total(attention, **arguments):
    """Parameters of backbone and classifier with 10 classes."""
    with meta_device():
        backbone = DiffViT(attention, **arguments)
        return count(backbone) + count(MLPLogits(backbone.out_channels[0], arguments['hidden_dim'], 10))


@pytest.mark.parametrize(
    ('arguments', 'counts'),
    [
        (dict(patch_size=7, embed_dim=32), (33_802, 38_026, 38_106)),
        (dict(patch_size=7, embed_dim=48), (55_626, 65_034, 65_146)),
        (dict(patch_size=4, embed_dim=64), (81_546, 98_186, 98_330)),
        (dict(patch_size=4, embed_dim=64, num_heads=4), (81_546, 98_058, 98_346)),
        (dict(patch_size=4, embed_dim=32, depth=4, num_heads=4), (59_594, 67_914, 68_234)),
        (dict(patch_size=4, embed_dim=32, depth=4, num_heads=2), (59_594, 68_042, 68_202)),
        (
            dict(patch_size=8, embed_dim=300, hidden_dim=1024, num_heads=6, in_channels=3, image_size=32),
            (2_343_566, 2_703_966, 2_705_414),
        ),
        (
            dict(
                patch_size=4,
                embed_dim=300,
                hidden_dim=1024,
                num_heads=6,
                in_channels=3,
                image_size=32,
                depth=3,
            ),
            (3_294_338, 3_834_938, 3_837_110),
        ),
    ],
)
def test_parameter_counts_of_the_published_configurations(arguments, counts):
    arguments = {'hidden_dim': 128, **arguments}
    assert tuple(total(attention, **arguments) for attention in ATTENTIONS) == counts


def test_quirk_1_the_classifier_has_gelu_and_dropout_on_its_logits():
    torch.manual_seed(0)
    faithful, corrected = MLPLogits(32, 128, 10), MLPLogits(32, 128, 10, activation_out=False)
    corrected.load_state_dict(faithful.state_dict(), strict=True)
    features = (torch.full((2, 32), 7.0), torch.randn(4096, 32))
    (bounded,), (plain,) = faithful.eval()(features), corrected.eval()(features)
    assert bounded.min() >= -0.17 and plain.min() < -0.3
    torch.testing.assert_close(bounded, F.gelu(plain))
    torch.testing.assert_close(plain, faithful.fc2(F.gelu(faithful.fc1(features[-1]))))
    assert abs((faithful.train()(features)[0] == 0).float().mean() - 0.1) < 0.01
    assert not (corrected.train()(features)[0] == 0).any()


@pytest.mark.parametrize('attention', TWO_MAPS)
def test_quirk_2_the_first_layer_index_sets_lambda(attention):
    faithful, corrected = vit(attention), vit(attention, layer_index_start=1)
    assert share_state(faithful, corrected).missing_keys == []
    assert count(corrected) == count(faithful)
    inits = [
        [block.attention.lambda_init for block in model.transformer_encoder]
        for model in (faithful, corrected)
    ]
    assert inits[0] == pytest.approx([-0.0099, 0.2], abs=1e-4)
    assert inits[1] == pytest.approx([0.2, 0.3555], abs=1e-4)
    assert change(faithful, corrected) > 0.01


@pytest.mark.parametrize('attention', TWO_MAPS)
def test_quirk_3_a_norm_for_each_head_before_the_projection(attention):
    faithful, corrected = vit(attention), vit(attention, head_norm=True)
    result = share_state(faithful, corrected)
    assert all('head_norm' in key for key in result.missing_keys)
    assert count(corrected) - count(faithful) == 2 * (16 - 2 * 32)
    assert change(faithful, corrected) > 0.01

    module = corrected.transformer_encoder[1].attention.float()
    nn.init.uniform_(module.head_norm.weight)
    seen = []
    module.out_proj.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = torch.randn(2, 17, 32)
    out = module(x)
    torch.testing.assert_close(out, module.out_proj(seen[0]))  # nothing after the projection
    heads = seen[0].unflatten(2, (2, 16)) / module.head_norm.weight
    torch.testing.assert_close(
        heads.square().mean(-1).sqrt(), torch.full((2, 17, 2), 0.8), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize(('attention', 'biases'), [('self', 1), ('legacy', 2), ('differential', 0)])
def test_quirk_4_the_bias_of_the_keys_changes_nothing(attention, biases):
    faithful, corrected = vit(attention).double(), vit(attention, key_bias=False)
    for name, parameter in faithful.named_parameters():
        if name.endswith(('.K.bias', '.K1.bias', '.K2.bias')):
            nn.init.normal_(parameter)
    assert share_state(faithful, corrected).missing_keys == []
    assert count(faithful) - count(corrected) == 2 * 32 * biases
    assert change(faithful, corrected) < 1e-12
    faithful(images(dtype=torch.float64))[0].square().sum().backward()
    for name, parameter in faithful.named_parameters():
        if name.endswith(('.K.bias', '.K1.bias', '.K2.bias')):
            assert parameter.grad.norm() < 1e-12


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_quirk_5_the_unused_norms_change_nothing(attention):
    faithful, corrected = vit(attention), vit(attention, unused_norm=False)
    assert share_state(faithful, corrected).missing_keys == []
    assert count(faithful) - count(corrected) == 2 * 2 * 128
    assert change(faithful, corrected) == 0
    for model, untouched in ((faithful, 4), (corrected, 0)):
        model(images(dtype=torch.float64))[0].sum().backward()
        without = [name for name, p in model.named_parameters() if p.grad is None]
        assert len(without) == untouched and all('.ffn.norm.' in name for name in without)
    assert count(MLPLogits(32, 128, 10)) - count(MLPLogits(32, 128, 10, unused_norm=False)) == 256


def test_quirk_7_the_rate_of_the_classifier_is_its_own():
    assert MLPLogits(32, 128, 10).drop.p == MLPLogits(32, 128, 10).drop_out.p == 0.1
    assert MLPLogits(32, 128, 10, drop_rate=0.3).drop.p == 0.3


def test_quirk_8_a_lambda_for_each_head():
    faithful, corrected = vit(), vit(lambda_per_head=True)
    assert count(corrected) - count(faithful) == 2 * 4 * (32 - 16)
    state = faithful.state_dict()
    for name in state:
        if 'lambda' in name:
            state[name] = state[name].expand(2, 16)
    corrected.load_state_dict(state, strict=True)
    assert change(faithful, corrected) < 1e-12  # equal vectors: as if shared
    attention = corrected.transformer_encoder[0].attention
    nn.init.normal_(attention.lambda_q1[1].data, std=3)
    assert attention.second_weight().shape == (2, 1, 1)
    assert change(faithful, corrected) > 1e-3


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_the_gelu_at_the_end_of_the_block_mlp(attention):
    faithful, corrected = vit(attention), vit(attention, mlp_activation_out=False)
    corrected.load_state_dict(faithful.state_dict(), strict=True)
    assert change(faithful, corrected) > 0.01
    tokens = torch.randn(64, 17, 32)
    branches = [model.float().transformer_encoder[0].ffn(4 * tokens) for model in (faithful, corrected)]
    assert branches[0].min() >= -0.17 and branches[1].min() < -0.3
    torch.testing.assert_close(branches[0], F.gelu(branches[1]))
    dropped = corrected.train().transformer_encoder[0].ffn(tokens)
    assert abs((dropped == 0).float().mean() - 0.1) < 0.01


def test_mlp_dropouts():
    mlp = GELUMLP(8, 16, drop_rate=0.5)
    assert mlp.fc2.out_features == 8
    x = torch.randn(512, 8)
    assert abs((mlp(x) == 0).float().mean() - 0.5) < 0.05
    assert not (GELUMLP(8, 16, drop_rate=0.5, dropout_out=False)(x) == 0).any()
    assert torch.equal(mlp.eval()(x), mlp.fc2(F.gelu(mlp.fc1(x))))


def test_attention_options_where_they_do_not_belong():
    with pytest.raises(UserError, match=r"'self' has no head_norm.* attention='differential' or 'legacy'"):
        DiffViT('self', head_norm=True)
    with pytest.raises(UserError, match=r"'legacy' has no lambda_per_head.* attention='differential'"):
        DiffViT('legacy', lambda_per_head=True)


def test_initial_values():
    torch.manual_seed(0)
    model = DiffViT(embed_dim=256, patch_size=4, num_heads=1)
    assert 0.95 < model.positional_embeddings.std() < 1.05 and 0.8 < model.cls_token.std() < 1.2
    lambdas = torch.cat([p for name, p in model.named_parameters() if 'lambda' in name])
    assert 0.09 < lambdas.std() < 0.11
    legacy = LegacyDifferentialAttention(256, 256)
    assert 0.8 < legacy.lambda_q1.std() < 1.2
    bound = 256**-0.5
    assert 0.9 * bound < model.transformer_encoder[0].attention.q_proj.weight.abs().max() <= bound


def test_feature_maps_are_the_patch_tokens_of_the_chosen_blocks():
    tokens = []
    model = vit('self', out_type='featmap', out_indices=(0, 2), depth=3, patch_size=4, in_channels=3)
    for block in model.transformer_encoder:
        block.register_forward_hook(lambda *arguments: tokens.append(arguments[2]))
    maps = model(images(channels=3))
    assert model.out_channels == (32, 32) and model.out_strides == (4, 4)
    for feature_map, index in zip(maps, (0, 2), strict=True):
        assert feature_map.shape == (2, 32, 7, 7)
        for row, column in ((0, 0), (2, 5), (6, 3)):
            token = tokens[index][:, 1 + 7 * row + column]
            assert torch.equal(feature_map[:, :, row, column], token)
    assert DiffViT(out_type='featmap', depth=3).out_indices == (2,)


def test_class_tokens_of_chosen_blocks():
    model = vit(out_indices=(0, 1))
    first, last = model(images())
    assert model.out_channels == (32, 32) and model.out_strides == ()
    assert torch.equal(last, vit()(images())[0]) and first.shape == (2, 32)


@pytest.mark.parametrize('size', [(28, 28), (30, 41), (5, 64)])
def test_feature_maps_of_any_size_pad_right_and_below(size):
    model = vit(out_type='featmap', patch_size=4)
    x = images(size=size)
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    feature_map = model(x)[0]
    assert feature_map.shape == (2, 32, rows, columns)
    padded = torch.zeros(2, 1, 4 * rows, 4 * columns)
    padded[:, :, : size[0], : size[1]] = x
    assert torch.equal(feature_map, model(padded)[0])


@pytest.mark.parametrize('out_type', ['cls_token', 'featmap'])
def test_positions_are_resized_for_another_grid_only(out_type, monkeypatch):
    model = vit(out_type=out_type).double()
    table = model._positions((8, 12))
    assert table.shape == (1, 1 + 96, 32) and table.dtype == torch.float64
    assert torch.equal(table[:, 0], model.positional_embeddings[:, 0])
    learned = torch.empty(1, 32, 4, 4, dtype=torch.float64)
    for row in range(4):
        for column in range(4):
            learned[0, :, row, column] = model.positional_embeddings[0, 1 + 4 * row + column].detach()
    want = F.interpolate(learned, (8, 12), mode='bicubic')
    for row, column in ((0, 0), (3, 8), (7, 1)):
        torch.testing.assert_close(table[0, 1 + 12 * row + column], want[0, :, row, column])
    assert model(images(size=(56, 84), dtype=torch.float64))[0].isfinite().all()

    def fail(*arguments, **options):
        raise AssertionError('resized')

    monkeypatch.setattr(F, 'interpolate', fail)
    monkeypatch.setattr(F, 'pad', fail)
    model(images(dtype=torch.float64))


def test_an_image_that_is_not_square():
    model = vit(image_size=(14, 28))
    assert model.positional_embeddings.shape == (1, 9, 32)
    assert model._positions((2, 4)) is model.positional_embeddings
    assert model(images(size=(14, 28)))[0].shape == (2, 32)


def test_converter_is_a_change_of_prefixes():
    model, neck = vit('legacy'), MLPLogits(32, 128, 10)
    state = dict(model.state_dict())
    state.update({f'mlp_head.{name}': tensor for name, tensor in neck.state_dict().items()})
    converted = KEY_MAPS['diff_vit'].convert(state)
    want = {f'backbone.{name}' for name in model.state_dict()}
    assert set(converted) == want | {f'neck.{name}' for name in neck.state_dict()}
    with pytest.raises(UserError, match='belong to no part'):
        KEY_MAPS['diff_vit'].convert({'conv1.weight': torch.zeros(1)})


def test_mmpretrain_classifies_with_the_neck_as_classifier():
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='mdvision.DiffViT', attention='legacy'),
            neck=dict(type='mdvision.MLPLogits', in_channels=32, hidden_channels=128, num_classes=10),
            head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)),
        )
    )
    assert count(model) == 38_106
    samples = [DataSample().set_gt_label(label) for label in (3, 7)]
    model(images(), samples, mode='loss')['loss'].backward()
    model.eval()
    torch.testing.assert_close(model(images()), model.neck(model.backbone(images()))[0])
    assert model(images(), samples, mode='predict')[0].pred_score.shape == (10,)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (
            lambda: DiffViT('diferential'),
            "self, differential, legacy, got 'diferential'.* mean 'differential'",
        ),
        (lambda: DiffViT(None), 'attention must be one of .* got None'),
        (lambda: DiffViT(dict(type='self')), 'attention must be one of .* got {'),
        (
            lambda: DiffViT(out_type='feature_map'),
            "cls_token, featmap, got 'feature_map'. Did you mean 'featmap'",
        ),
        (lambda: DiffViT(num_heads=5), 'num_heads must divide the 32 channels, got num_heads=5'),
        (lambda: DiffViT('self', num_heads=5), 'num_heads must divide the 32 channels'),
        (lambda: DiffViT('legacy', num_heads=0), 'num_heads must divide the 32 channels'),
        (lambda: DiffViT('legacy', embed_dim=30), 'multiple of 4, the groups of its norm, got 30'),
        (lambda: DiffViT(image_size=30), 'image_size must be a multiple of patch_size=7, got 30 x 30'),
        (lambda: DiffViT()(images(size=(28, 30))), r"the image .* got 28 x 30\. Resize .*='featmap'"),
        (lambda: DiffViT(out_indices=(2,)), r'stages 0 to 1 .* got \(2,\)'),
        (lambda: DiffViT(frozen_stages=3), 'frozen_stages must be -1 .* got 3'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_legacy_without_its_group_norm_takes_any_width():
    assert vit('legacy', embed_dim=30, head_norm=True)(images())[0].shape == (2, 30)


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_exports_with_any_batch(attention):
    model = vit(attention)
    batch = torch.export.Dim('batch', min=1)
    exported = torch.export.export(model, (images(3),), dynamic_shapes={'x': {0: batch}}).module()
    for number in (1, 3, 5):
        torch.testing.assert_close(exported(images(number)), model(images(number)))


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 2])
def test_frozen_stages(frozen_stages):
    model = vit(frozen_stages=frozen_stages, norm_eval=True, unused_norm=False).train()
    stages = [
        ('cls_token', 'positional_embeddings', 'patch_embeddings.'),
        ('transformer_encoder.0.',),
        ('transformer_encoder.1.',),
    ]
    frozen = tuple(prefix for stage in stages[: frozen_stages + 1] for prefix in stage)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name
    for index, block in enumerate(model.transformer_encoder):
        assert block.training == (index + 1 > frozen_stages)
    if frozen_stages < 2:
        model(images())[0].sum().backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
