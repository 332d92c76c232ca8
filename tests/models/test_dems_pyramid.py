"""DEMS-ViT as a pyramid: its maps are DEMS-ViT's tokens, its windows full attention under a mask."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdvision import UserError
from mdvision.meta_device import meta_device
from mdvision.models.backbones.dems_vit import DEMSViT
from mdvision.models.backbones.dems_vit_pyramid import DEMSViTPyramid, _split, _WindowAttention
from mdvision.models.layers.dems_block import sine_cosine_positions

SMALL = dict(patch_size=2, embed_dim=16, num_heads=2, depth=2)
SUFFIXES = ('', '_2', '_4', '_8')


def strong(model: nn.Module) -> nn.Module:
    """With weights so large that every part matters to the output."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model.eval()


def small(**arguments) -> DEMSViTPyramid:
    torch.manual_seed(0)
    return strong(DEMSViTPyramid(**{**SMALL, **arguments}))


def ceil(length: int, stride: int) -> int:
    return -(-length // stride)


@pytest.mark.parametrize('size', [(32, 32), (37, 501), (1, 1), (1, 70), (100, 161)])
def test_any_size_gives_maps_of_the_size_over_the_stride_rounded_up(size):
    model = small(depth=1)
    assert model.out_channels == (16,) * 4 and model.out_strides == (2, 4, 8, 16)
    maps = model(torch.randn(2, 3, *size))
    for output, stride in zip(maps, model.out_strides, strict=True):
        assert output.shape == (2, 16, ceil(size[0], stride), ceil(size[1], stride))
        assert output.isfinite().all()


def test_the_default_strides_are_those_of_detectors():
    with meta_device():
        model = DEMSViTPyramid()
    assert model.out_strides == (4, 8, 16, 32) and model.out_channels == (192,) * 4
    some = small(out_indices=(1, 3))
    assert some.out_strides == (4, 16) and set(some.map_norms) == {'1', '3'}
    assert [output.shape[-1] for output in some(torch.zeros(1, 3, 32, 32))] == [8, 2]


@pytest.mark.parametrize('window', [1, 2, None])
def test_a_token_is_where_its_patch_is(window):
    model = small(depth=1, window=window)
    for layer in (model.blocks[0].attn.proj, model.blocks[0].mlp.fc2):
        nn.init.zeros_(layer.weight)  # the block does nothing
    images = torch.randn(2, 3, 77, 45)  # 5 x 3 regions; windows of up to 2 x 2 want one row and column more
    maps = model(images)
    padded = F.pad(images, (0, 64 - 45, 0, 96 - 77))
    for index, (suffix, output) in enumerate(zip(SUFFIXES, maps, strict=True)):
        side = 2 * 2**index
        rows, columns = 96 // side, 64 // side
        tokens = getattr(model, f'patch_embed{suffix}')(padded) + sine_cosine_positions(rows, columns, 16)
        want = F.layer_norm(tokens, (16,)).transpose(1, 2).unflatten(2, (rows, columns))
        torch.testing.assert_close(output, want[:, :, : ceil(77, side), : ceil(45, side)])


@pytest.mark.parametrize('window', [None, 3, 9])
def test_one_window_is_the_classifier_before_its_merges(window):
    classifier = DEMSViT(image_size=(32, 48), **SMALL, merge_counts=(), merge_layers=())
    strong(classifier)
    model = small(window=window)
    model.load_state_dict(classifier.state_dict(), strict=False)
    seen = []
    classifier.blocks[-1].register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    images = torch.randn(2, 3, 32, 48)
    classifier(images)
    tokens = F.layer_norm(seen[0][:, 1:], (16,)).unflatten(1, (2, 3, 85))  # region row, region column
    for output, start, side in zip(model(images), (0, 64, 80, 84), (8, 4, 2, 1), strict=True):
        for row in range(2 * side):
            for column in range(3 * side):
                within = start + row % side * side + column % side
                want = tokens[:, row // side, column // side, within]
                torch.testing.assert_close(output[:, :, row, column], want, rtol=1e-4, atol=1e-5)


def test_windows_are_full_attention_under_a_mask():
    torch.manual_seed(0)
    windows, regions = 3, 2
    attention = _WindowAttention(16, 2, 0.0, 0.0)
    x = torch.randn(2, 1 + windows * regions * 85, 16)
    token = torch.arange(windows * regions * 85)
    window = torch.cat([torch.tensor([-1]), token // (regions * 85)])
    everywhere = torch.cat([torch.tensor([True]), token % (regions * 85) < regions])
    mask = everywhere[:, None] | (window[:, None] == window) | (window == -1)
    assert mask.sum(1).unique().tolist() == [1 + regions * 85, len(window)]
    query, key, value = attention.qkv(x).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    want = F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x, windows=windows), attention.proj(want))


def changed(model: DEMSViTPyramid) -> list[torch.Tensor]:
    """Of each map, which of the pixels of a 2 x 3 grid of regions feel a change of the last region."""
    images = torch.randn(1, 3, 32, 48)
    other = images.clone()
    other[:, :, 16:, 32:] += 1
    return [(a - b).abs().amax((0, 1)) > 1e-6 for a, b in zip(model(images), model(other), strict=True)]


def test_one_block_keeps_fine_tokens_to_their_window_and_two_do_not():
    for index, feels in enumerate(changed(small(depth=1, window=1))):
        side = 8 >> index
        in_window = torch.zeros_like(feels)
        in_window[side:, 2 * side :] = True
        # The tokens of whole regions see the image.
        assert torch.equal(feels, in_window) if index < 3 else feels.all()
    for model in (small(depth=2, window=1), small(depth=1, window=1, global_blocks=(0,))):
        assert all(feels.all() for feels in changed(model))


def test_global_blocks_are_those_of_one_window():
    everywhere = small(global_blocks=(0, 1), window=1)
    images = torch.randn(1, 3, 32, 48)
    for ours, full in zip(everywhere(images), small(window=None)(images), strict=True):
        torch.testing.assert_close(ours, full)
    some = small(global_blocks=(1,), window=1)(images)
    assert (some[0] - everywhere(images)[0]).abs().max() > 1e-3


def test_windows_are_few_and_equal_and_none_is_all_padding():
    assert [_split(length, 4) for length in (1, 4, 5, 9, 19, 32)] == [
        (1, 1), (1, 4), (2, 3), (3, 3), (5, 4), (8, 4)
    ]  # fmt: skip
    assert _split(19, None) == (1, 19)
    for largest in range(1, 9):
        for length in range(1, 80):
            windows, side = _split(length, largest)
            assert side <= largest and windows == ceil(length, largest)
            assert (windows - 1) * side < length <= windows * side


@pytest.mark.parametrize('training', [False, True])
def test_dropouts_and_drop_path_act_in_training_only(training):
    model = small(drop_rate=0.3, attn_drop_rate=0.3, drop_path_rate=0.5, window=1).train(training)
    images = torch.randn(2, 3, 32, 48)
    assert torch.equal(model(images)[0], model(images)[0]) != training


def test_weights_of_a_classifier_start_it(tmp_path):
    classifier = strong(DEMSViT(embed_dim=16, num_heads=2))  # 12 blocks, merges before the 6th and 10th
    weights = {f'backbone.{name}': tensor for name, tensor in classifier.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'classifier.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'classifier.pth'), prefix='backbone.')
    model = DEMSViTPyramid(patch_size=2, embed_dim=16, num_heads=2, init_cfg=init_cfg)
    model.init_weights()

    ours, theirs = model.state_dict(), classifier.state_dict()
    shared = ours.keys() & theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    assert {name.split('.')[0] for name in ours.keys() - shared} == {'map_norms'}
    assert {'.'.join(name.split('.')[:2]) for name in theirs.keys() - shared} == {
        'merges.0', 'merges.1', 'norm.weight', 'norm.bias', *(f'blocks.{index}' for index in range(5, 12))
    }  # fmt: skip
    assert len(ours) == 76 and len(shared) == 68 and len(theirs) == 165


def test_frozen_stages_count_blocks():
    for frozen_stages in (-1, 0, 1, 2):
        model = small(frozen_stages=frozen_stages, out_indices=(0, 2)).train()
        stages = [('cls_token', 'patch_embed'), ('blocks.0.',), ('blocks.1.', 'map_norms.')]
        frozen = tuple(prefix for stage in stages[: frozen_stages + 1] for prefix in stage)
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == (not name.startswith(frozen)), name


def test_recomputing_and_autocast_with_several_windows():
    images = torch.randn(2, 3, 40, 48)
    gradients = []
    for with_cp in (False, True):
        model = small(window=1, with_cp=with_cp).train()
        with torch.autocast('cpu', torch.bfloat16):
            outputs = model(images)
        # A layer norm fixes the mean and the variance over the channels.
        weight = torch.linspace(-1, 1, 16)[:, None, None]
        sum((output * weight).sum() for output in outputs).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_heads=5), 'num_heads must divide embed_dim=192, got num_heads=5'),
        (dict(embed_dim=18), 'embed_dim must be a multiple of 4 .* got 18'),
        (dict(patch_size=0), 'patch_size must be positive, got 0'),
        (dict(depth=0), 'depth must be positive, got 0'),
        (dict(window=0), 'window must be positive, got 0'),
        (dict(global_blocks=(5,)), r'blocks 0 to 4 \(depth=5\), got \(5,\)'),
        (dict(frozen_stages=6), r'frozen_stages must be -1 \(none\) to 5, got 6'),
        (dict(out_indices=(4,)), r'outputs 0 to 3 .* got \(4,\)'),
    ],
)
def test_errors_say_what_was_expected_and_what_came(arguments, message):
    with pytest.raises(UserError, match=message):
        DEMSViTPyramid(**arguments)
