"""The table of named models. To add one, add a row; see :mod:`mdvision.models.named`."""

from dataclasses import dataclass

__all__ = ['NAMED', 'NamedModel']


@dataclass(frozen=True)
class NamedModel:
    """What a name stands for.

    Args:
        backbone: config of the backbone.
        num_classes: classes it was published for.
        image: channels, height and width it was published for.
        key_map: which key map of ``mdvision.converters`` its authors' checkpoints need.
        torchvision_key_map: the one for torchvision's weights of the plain network, if they fit.
        pooled: whether the backbone returns feature maps, which are pooled before the linear layer.
        drop_rate: dropout before the linear layer.
        mlp: whether ``MLPLogits``, as wide as the MLPs of the blocks, takes the place of the linear layer.
        fixed: arguments of the backbone that others of the row depend on, so they cannot be overridden.
        head_init: initialization of the linear layer; None is PyTorch's default.
    """

    backbone: dict
    num_classes: int
    image: tuple[int, int, int]
    key_map: str
    torchvision_key_map: str | None = None
    pooled: bool = True
    drop_rate: float = 0.0
    mlp: bool = False
    fixed: tuple[str, ...] = ()
    head_init: dict | None = None


CIFAR, IMAGENET = (3, 32, 32), (3, 224, 224)


def _emanets() -> dict[str, NamedModel]:
    rows = {}
    for depth in (50, 101):
        for suffix, image, classes, variant in (
            ('', IMAGENET, 1000, dict(stem='imagenet', groups='imagenet')),
            ('_cifar', CIFAR, 10, dict(stem='cifar', groups='cifar')),
            ('_mini', IMAGENET, 100, dict(stem='imagenet', groups='imagenet', spatial_group_norm=True)),
        ):
            backbone = dict(type='EMANet', depth=depth, **variant)
            rows[f'emanet{depth}{suffix}'] = NamedModel(backbone, classes, image, 'emanet')
    return rows


def _eca(depth: int) -> list[dict]:
    # The authors give the kernels as a list, with different values for depth 50.
    kernels = (3, 5, 5, 7) if depth == 50 else (3, 3, 3, 3)
    return [dict(type='EfficientChannelAttention', kernel_size=k) for k in kernels]


# The side length to which the authors pool the feature map of each stage, whatever the depth.
_FCA = [dict(type='FrequencyChannelAttention', grid=grid) for grid in (56, 28, 14, 7)]


def _resnets() -> dict[str, NamedModel]:
    """ResNets with each attention, with the CIFAR stem of EMANet's table and with ImageNet's."""
    every, deep = (18, 34, 50, 101, 152), (50, 101, 152)
    families = (
        # name, depths, key map, slots for a depth
        ('resnet{}', every, 'resnet', lambda depth: {}),
        ('se_resnet{}', every, 'se_resnet', lambda depth: dict(attention=dict(type='SqueezeExcite'))),
        ('cbam_resnet{}', every, 'cbam_resnet', lambda depth: dict(attention=dict(type='CBAM'))),
        ('eca_resnet{}', every, 'eca_resnet', lambda depth: dict(attention=_eca(depth))),
        ('sa_resnet{}', deep, 'sa_resnet', lambda depth: dict(attention=dict(type='ShuffleAttention'))),
        ('fca_resnet{}', every[1:], 'fca_resnet', lambda depth: dict(attention=_FCA)),
        ('epsanet{}', deep[:2], 'epsanet', lambda depth: dict(conv2=dict(type='PyramidSplitAttention'))),
    )
    stems = (('', 'imagenet', IMAGENET, 1000), ('_cifar', 'cifar', CIFAR, 10))
    rows = {}
    for pattern, depths, key_map, slots in families:
        for depth in depths:
            for suffix, stem, image, classes in stems:
                backbone = dict(type='AttentionResNet', depth=depth, stem=stem, **slots(depth))
                if key_map == 'resnet' and stem == 'cifar':
                    backbone['conv_init'] = 'default'  # the one file of the authors without an initialization
                fixed = ('depth',) if key_map == 'eca_resnet' else ()
                rows[pattern.format(depth) + suffix] = NamedModel(
                    backbone, classes, image, key_map, 'torchvision_resnet', fixed=fixed
                )
    return rows


def _lma() -> dict[str, NamedModel]:
    init = dict(type='Normal', layer='Linear', std=0.01)
    attention = dict(type='LightweightMixedDomainAttention')
    rows = {
        f'lma_resnet{depth}': NamedModel(
            dict(type='AttentionResNet', depth=depth, attention=attention),
            1000,
            IMAGENET,
            'lma_resnet',
            'torchvision_resnet',
            head_init=init,
        )
        for depth in (18, 34, 50, 101, 152)
    }
    for name, slot in (('mobilenet_v2', {}), ('lma_mobilenet_v2', dict(attention=attention))):
        rows[name] = NamedModel(
            dict(type='AttentionMobileNetV2', **slot),
            1000,
            IMAGENET,
            'lma_mobilenet_v2',
            'torchvision_mobilenet_v2',
            drop_rate=0.2,
            head_init=init,
        )
    return rows


def _mdnets() -> dict[str, NamedModel]:
    return {
        'mdnet': NamedModel(dict(type='MDNet'), 100, CIFAR, 'mdnet'),
        'mobilenet_v2_cifar': NamedModel(dict(type='MDMobileNetV2'), 100, CIFAR, 'mobilenet_v2_cifar'),
        'mobilenet_cifar': NamedModel(dict(type='MDMobileNet'), 100, CIFAR, 'mobilenet_cifar'),
    }


def _dems() -> dict[str, NamedModel]:
    init = dict(type='TruncNormal', layer='Linear', std=0.02, a=-2.0, b=2.0)
    sizes = (
        ('tiny', dict(embed_dim=192, num_heads=3, merge_counts=(64, 64))),
        ('small', dict(embed_dim=384, num_heads=6, merge_counts=(64, 32))),
    )
    return {
        f'dems_vit_{size}': NamedModel(
            # The dropout rates are those of pretraining.
            dict(type='DEMSViT', drop_path_rate=0.15, attn_drop_rate=0.05, **arguments),
            100,
            CIFAR,
            'dems_vit',
            pooled=False,
            head_init=init,
        )
        for size, arguments in sizes
    }


def _nano() -> dict[str, NamedModel]:
    """The configurations behind NanoDiffVision's tables."""
    mnist, rows = (1, 28, 28), {}
    for suffix, image, arguments in (
        # 2024-11-22: 33.8K, 55.6K, and 38.1K with the legacy attention
        ('', mnist, dict(patch_size=7, embed_dim=32, hidden_dim=128, num_heads=2)),
        ('_balanced', mnist, dict(patch_size=7, embed_dim=48, hidden_dim=128, num_heads=2)),
        # 2024-12-20: 81.5K, and 98.2K with the current attention
        ('_p4', mnist, dict(patch_size=4, embed_dim=64, hidden_dim=128, num_heads=2)),
        ('_p4_balanced', mnist, dict(patch_size=4, embed_dim=64, hidden_dim=128, num_heads=4)),
        # CIFAR-10, of which no number was published
        ('_cifar', CIFAR, dict(patch_size=8, embed_dim=300, hidden_dim=1024, num_heads=6, drop_rate=0.3)),
    ):
        for prefix, kind, attention in (
            ('vit_nano', '', 'self'),
            ('diff_vit_nano', '', 'differential'),
            ('diff_vit_nano', '_legacy', 'legacy'),
        ):
            backbone = dict(
                type='DiffViT', attention=attention, in_channels=image[0], image_size=image[1], **arguments
            )
            rows[f'{prefix}{kind}{suffix}'] = NamedModel(
                backbone,
                10,
                image,
                'diff_vit',
                pooled=False,
                mlp=True,
            )
    return rows


NAMED = {**_emanets(), **_resnets(), **_lma(), **_mdnets(), **_dems(), **_nano()}
