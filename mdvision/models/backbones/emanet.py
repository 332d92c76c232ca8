"""EMANet: ResNet bottlenecks with a multi-scale attention in place of the 3x3 convolution.

Paper and code of the authors: Xsmile-love/pytorch-emanet-master.
"""

from collections.abc import Sequence

from mdvision.errors import UserError
from mdvision.registry import MODELS

from .resnet import AttentionResNet

__all__ = ['EMANet']

# The authors' group counts of the branches (kernels 3, 5, 7, 9), stage by stage.
_GROUPS = {
    'cifar': ((1, 4, 8, 16),) * 4,
    'imagenet': ((1, 2, 4, 8),) * 3 + ((16, 16, 16, 16),),
}


@MODELS.register_module()
class EMANet(AttentionResNet):
    """:class:`AttentionResNet` with :class:`MultiScaleAttention` in every block.

    The authors' three variants are settings of it:

    =============  ===================  ==================================================
    variant        stem                 other arguments
    =============  ===================  ==================================================
    CIFAR          ``'cifar'``          ``groups='cifar'``
    mini-ImageNet  ``'imagenet'``       ``groups='imagenet', spatial_group_norm=True``
    detection      ``'imagenet'``       ``groups='imagenet'``, or ``'cifar'`` for the
                                        26.13 M of their table
    =============  ===================  ==================================================

    Args:
        depth: 50 or 101 (any depth with bottlenecks works).
        stem: see :class:`AttentionResNet`.
        groups: groups of the four branches: ``'cifar'``, ``'imagenet'``, four numbers for every
            stage, or four such rows.
        spatial_group_norm: normalize each channel before the spatial mixer.
        gate_reduction: hidden units of the gate are a quarter of the width divided by this.
        soft_ban: arguments of :class:`SoftBAN`: the default reproduces the authors' layer;
            ``dict(scale='softmax_times_channels')`` or ``dict(scale='sigmoid')`` undo its 1/C
            scale, ``dict(follow_norm_eval=True)`` freezes it with the other norms.
        kernels: kernel sizes of the four branches, odd.
        mixer_kernel: kernel of the depthwise mixers, odd.
        **kwargs: the other arguments of :class:`AttentionResNet`.
    """

    def __init__(
        self,
        depth: int = 50,
        stem: str = 'imagenet',
        groups: str | Sequence = 'imagenet',
        spatial_group_norm: bool = False,
        gate_reduction: int = 16,
        soft_ban: dict | None = None,
        kernels: Sequence[int] = (3, 5, 7, 9),
        mixer_kernel: int = 9,
        **kwargs,
    ):
        if 'conv2' in kwargs:
            raise UserError(
                'EMANet: its multi-scale attention occupies conv2; use AttentionResNet(conv2=...) '
                'for another module.'
            )
        if depth not in (50, 101, 152):
            raise UserError(f'EMANet: depth must be 50, 101 or 152 (bottlenecks), got {depth!r}.')
        conv2 = [
            dict(
                type='MultiScaleAttention',
                groups=row,
                spatial_group_norm=spatial_group_norm,
                gate_reduction=gate_reduction,
                soft_ban=soft_ban,
                kernels=kernels,
                mixer_kernel=mixer_kernel,
            )
            for row in _group_rows(groups)
        ]
        super().__init__(depth, stem, conv2=conv2, **kwargs)


def _group_rows(groups: str | Sequence) -> Sequence[Sequence[int]]:
    if isinstance(groups, str):
        if groups not in _GROUPS:
            raise UserError(f'EMANet: groups must be one of {sorted(_GROUPS)} or numbers, got {groups!r}.')
        return _GROUPS[groups]
    if isinstance(groups, int):
        raise UserError(f'EMANet: groups must be four numbers, one per branch, got {groups}.')
    rows = (groups,) * 4 if all(isinstance(g, int) for g in groups) else groups
    if len(rows) != 4 or any(len(row) != 4 for row in rows):
        raise UserError(
            f'EMANet: groups must be four numbers, or four rows (stages) of four, got {groups!r}.'
        )
    return rows
