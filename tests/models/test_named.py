"""Models by name."""

import pytest
import torch

import mdvision
from mdvision import UserError
from mdvision.meta_device import meta_device

# Parameters as the specifications of the architectures count them: name, arguments, count.
COUNTS = [
    ('emanet50_cifar', {}, 21_191_061),
    ('emanet101_cifar', {}, 38_212_889),
    ('emanet50_mini', {}, 20_261_551),
    ('emanet101_mini', {}, 42_148_915),
    ('resnet50_cifar', {}, 23_520_842),
    ('se_resnet50_cifar', {}, 26_035_786),
    ('se_resnet50', dict(num_classes=10), 26_043_466),
    ('cbam_resnet50_cifar', {}, 26_037_354),
    ('eca_resnet50_cifar', {}, 23_520_922),
    ('sa_resnet50_cifar', {}, 23_521_550),
    ('fca_resnet50_cifar', {}, 26_035_786),
    ('epsanet50_cifar', {}, 20_525_525),
    ('epsanet50_cifar', dict(num_classes=1000), 22_554_035),
    ('lma_resnet18', {}, 11_689_576),
    ('lma_resnet34', {}, 21_797_804),
    ('lma_resnet50', {}, 25_557_204),
    ('lma_resnet101', {}, 44_549_502),
    ('lma_resnet152', {}, 60_193_320),
    ('lma_mobilenet_v2', {}, 3_505_008),
    ('mdnet', {}, 2_399_428),
    ('mdnet', dict(num_classes=10), 2_284_138),
    ('mobilenet_v2_cifar', {}, 2_369_380),
    ('mobilenet_v2_cifar', dict(num_classes=10), 2_254_090),
    ('mobilenet_cifar', {}, 3_315_428),
    ('mobilenet_cifar', dict(num_classes=10), 3_223_178),
    ('dems_vit_tiny', {}, 5_600_258),
    ('dems_vit_small', {}, 22_253_154),
    ('dems_vit_tiny', dict(num_classes=101, image_size=256, patch_size=16), 6_329_991),
    ('dems_vit_small', dict(num_classes=101, image_size=256, patch_size=16), 23_708_839),
    ('vit_nano', {}, 33_802),
    ('vit_nano_balanced', {}, 55_626),
    ('vit_nano_p4', {}, 81_546),
    ('vit_nano_p4_balanced', {}, 81_546),
    ('vit_nano_cifar', {}, 2_343_566),
    ('vit_nano_cifar', dict(patch_size=4, depth=3), 3_294_338),
    ('diff_vit_nano', {}, 38_026),
    ('diff_vit_nano_balanced', {}, 65_034),
    ('diff_vit_nano_p4', {}, 98_186),
    ('diff_vit_nano_p4_balanced', {}, 98_058),
    ('diff_vit_nano_cifar', {}, 2_703_966),
    ('diff_vit_nano_cifar', dict(patch_size=4, depth=3), 3_834_938),
    ('diff_vit_nano_legacy', {}, 38_106),
    ('diff_vit_nano_legacy_balanced', {}, 65_146),
    ('diff_vit_nano_legacy_p4', {}, 98_330),
    ('diff_vit_nano_legacy_p4_balanced', {}, 98_346),
    ('diff_vit_nano_legacy_cifar', {}, 2_705_414),
    ('diff_vit_nano_legacy_cifar', dict(patch_size=4, depth=3), 3_837_110),
]


@pytest.mark.parametrize(('name', 'arguments', 'parameters'), COUNTS)
def test_parameter_counts_are_the_published_networks(name, arguments, parameters):
    with meta_device():
        model = mdvision.create_model(name, **arguments)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize('name', mdvision.list_models())
def test_a_name_gives_logits_and_the_same_classifier_in_mmpretrain(name):
    from mmpretrain.registry import MODELS

    image = mdvision.find_model(name).image
    with meta_device():
        model = mdvision.create_model(name, num_classes=7).eval()
        host = MODELS.build(mdvision.classifier_config(name, num_classes=7))
        assert model(torch.empty(2, *image)).shape == (2, 7)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in host.state_dict().items()} == shapes


def test_our_classifier_and_mmpretrains_give_the_same_logits():
    from mmpretrain.registry import MODELS

    for name, image in (('mobilenet_cifar', (3, 32, 32)), ('diff_vit_nano', (1, 28, 28))):
        model = mdvision.create_model(name).eval()
        host = MODELS.build(mdvision.classifier_config(name)).eval()
        host.load_state_dict(model.state_dict(), strict=True)
        images = torch.randn(2, *image)
        torch.testing.assert_close(host(images, mode='tensor'), model(images))


def test_names_are_lower_case_with_underscores_and_can_be_filtered():
    names = mdvision.list_models()
    assert all(name == name.lower() and name.replace('_', '').isalnum() for name in names)
    assert mdvision.list_models('lma_*') == [name for name in names if name.startswith('lma_')]
    assert 'lma_mobilenet_v2' in mdvision.list_models('mobilenet')
    assert mdvision.list_models('nothing') == []


def test_overrides_are_arguments_of_the_backbone():
    backbone = mdvision.create_backbone('emanet50', out_indices=(1, 3), frozen_stages=1)
    assert backbone.out_channels == (512, 2048)
    assert backbone.out_strides == (8, 32)
    gated = mdvision.create_backbone('resnet18', attention='CBAM')  # a name alone will do
    assert sum(isinstance(module, mdvision.CBAM) for module in gated.modules()) == 8
    tokens = mdvision.create_backbone('dems_vit_tiny', out_indices=(3, 11)).eval()(torch.randn(2, 3, 32, 32))
    assert [token.shape for token in tokens] == [(2, 192), (2, 192)]
    narrow = mdvision.create_backbone('lma_mobilenet_v2', width_mult=0.5)
    assert narrow.out_channels == (1280,)


def test_the_classifier_follows_the_overrides_of_its_backbone():
    model = mdvision.create_model('vit_nano_cifar', patch_size=4, embed_dim=384, hidden_dim=1536, depth=8)
    assert model.neck.fc1.weight.shape == (1536, 384)
    corrected = mdvision.create_model(
        'vit_nano', neck=dict(activation_out=False, drop_rate=0.0, unused_norm=False)
    )
    assert not hasattr(corrected.neck, 'norm')
    assert mdvision.classifier_config('vit_nano', neck=dict(drop_rate=0.3))['neck']['drop_rate'] == 0.3


def test_the_plain_cifar_resnet_starts_as_pytorch_does_and_the_others_with_he():
    def deviation(name):
        return mdvision.create_model(name).backbone.layer4[1].conv2.weight.std().item()

    fan = 512 * 9
    assert deviation('resnet18_cifar') == pytest.approx(
        (1 / fan / 3) ** 0.5, rel=0.01
    )  # uniform on +-fan^-1/2
    assert deviation('se_resnet18_cifar') == pytest.approx((2 / fan) ** 0.5, rel=0.01)


def test_weights_named_in_init_cfg_are_loaded(tmp_path):
    source = mdvision.create_backbone('mobilenet_cifar', width_mult=0.25)
    torch.save(source.state_dict(), tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'))
    loaded = mdvision.create_backbone('mobilenet_cifar', width_mult=0.25, init_cfg=init_cfg)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), loaded.parameters(), strict=True))


@pytest.mark.parametrize('name', ['dems_vit_tiny', 'fca_resnet34_cifar'])
@pytest.mark.parametrize('assign', [False, True])
def test_a_model_built_on_the_meta_device_answers_right_once_it_has_its_weights(name, assign):
    model = mdvision.create_model(name).eval()
    with meta_device():
        other = mdvision.create_model(name).eval()
    if not assign:
        other.to_empty(device='cpu')
    other.load_state_dict(model.state_dict(), strict=True, assign=assign)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other(images), model(images))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: mdvision.create_model('emanet50_cifr'), "Did you mean 'emanet50_cifar'"),
        (
            lambda: mdvision.create_backbone('lma_resnet'),
            "no model is called 'lma_resnet'. Did you mean 'lma_res",
        ),
        (lambda: mdvision.create_model('emanet50', widht=2), "EMANet has no argument 'widht'"),
        (lambda: mdvision.create_model('resnet50', base_chanels=8), "Did you mean 'base_channels'"),
        (lambda: mdvision.create_model('dems_vit_tiny', image_size=40), 'multiple'),
        (lambda: mdvision.create_model('dems_vit_tiny', num_heads=5), 'num_heads'),
        (lambda: mdvision.create_model('vit_nano', patch_size=5), 'patch'),
        (lambda: mdvision.create_model('mdnet', num_heads=5), 'num_heads'),
        (lambda: mdvision.create_model('eca_resnet50', depth=101), 'depth is part of the name'),
        (lambda: mdvision.create_model('resnet18', num_classes=0), 'num_classes must be a positive number'),
        (
            lambda: mdvision.create_model('vit_nano', out_type='featmap'),
            'takes the class token',
        ),
        (lambda: mdvision.create_model('dems_vit_tiny', neck=dict(drop_rate=0.1)), 'has no neck'),
        (lambda: mdvision.create_model('vit_nano', neck=dict(activ_out=1)), "Did you mean 'activation_out'"),
        (lambda: mdvision.create_backbone('resnet18', out_indices=3), r'Use \(3,\)'),
        (lambda: mdvision.create_backbone('resnet18', out_indices=(-1,)), r'stages 0 to 3 .* got \(-1,\)'),
        (
            lambda: mdvision.create_backbone('resnet18', stage_blocks=(1, 1, 1, 0)),
            'a positive number for each',
        ),
        (lambda: mdvision.create_backbone('resnet18', stage_blocks=(1,) * 5), 'a positive number for each'),
        (lambda: mdvision.create_backbone('resnet18', base_channels=0), 'base_channels must be positive'),
        (lambda: mdvision.create_backbone('resnet18', conv_init='he'), "'he_out' or 'default', got 'he'"),
        (
            lambda: mdvision.create_backbone('resnet18', attention=dict(type='CBAM', ratio=8)),
            "argument 'ratio'",
        ),
        (
            lambda: mdvision.create_backbone('resnet50', conv2='CBAM'),
            "no argument 'stride'. A module",
        ),
        (lambda: mdvision.create_backbone('vit_nano', depth=0), 'at least one stage'),
        (lambda: mdvision.create_backbone('vit_nano', patch_size=0), 'patch_size must be positive'),
        (lambda: mdvision.create_backbone('dems_vit_tiny', patch_size=0), 'patch_size must be positive'),
        (lambda: mdvision.create_backbone('dems_vit_tiny', merge_counts=(64, 0)), 'must be positive'),
        (lambda: mdvision.create_backbone('emanet50', groups=4), 'four numbers, one per branch'),
        (
            lambda: mdvision.create_backbone('resnet18', attention=dict(type='SqueezeExcite', reduction=0)),
            'at least 1',
        ),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize('name', mdvision.list_models())
def test_every_named_model_trains_a_step_in_mmpretrains_classifier(name):
    from mmengine.optim import OptimWrapper
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    torch.manual_seed(0)
    channels, height, _ = mdvision.find_model(name).image
    size = height if 'vit' in name else height // 2
    model = MODELS.build(mdvision.classifier_config(name, num_classes=5))
    model.data_preprocessor = torch.nn.Identity()
    model.data_preprocessor.forward = lambda data, training: data
    model.init_weights()
    before = {key: value.clone() for key, value in model.named_parameters()}
    data = dict(
        inputs=torch.randn(2, channels, size, size),
        data_samples=[DataSample().set_gt_label(label) for label in (1, 3)],
    )
    # No momentum and no decay: what has no gradient does not move.
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    optimizer.zero_grad = lambda: None  # the gradients are looked at below
    losses = model.train().train_step(data, optimizer)
    assert losses['loss'].isfinite()
    unused = {key for key, value in model.named_parameters() if value.grad is None}
    assert {key for key in unused if not key.endswith(('.ffn.norm.weight', '.ffn.norm.bias'))} <= {
        'neck.norm.weight',
        'neck.norm.bias',
    }
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert any(key.startswith('backbone.') for key in moved)
