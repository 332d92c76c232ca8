"""Shapes of features, read off a forward pass on the meta device, where nothing is stored or computed."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS, build_for_shapes

__all__ = ['PYRAMID_IMAGE', 'channels_of', 'strides_of', 'trace', 'trace_backbone']

# Height and width. The width is larger by 2^8 * 7, so that a feature map of stride s, a divisor of that, is
# wider than high by exactly that over s, however the network pads.
PYRAMID_IMAGE = (128, 128 + 1792)


def trace_backbone(cfg: Mapping, image: tuple[int, int]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a backbone and its outputs for an image, like :func:`trace`.

    Args:
        cfg: the backbone's config. The image has as many channels as its first convolution takes.
        image: height and width.
    """
    net = build_for_shapes(cfg)
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    channels = 3 if first is None else first.in_channels
    return trace(cfg, torch.empty(1, channels, *image, device='meta'), net)


def trace(
    cfg: Mapping, inputs: Tensor | Sequence[Tensor], net: nn.Module | None = None
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a module and its outputs for inputs of these shapes, whatever their values.

    Args:
        cfg: the module's config.
        inputs: the argument of its ``forward``, on the meta device.
        net: the module, if it is already built.

    Returns:
        The module, of which only shapes are meaningful, and its outputs on the meta device.

    Raises:
        UserError: it does not take these inputs, or returns something other than one or more tensors.
    """
    net = build_for_shapes(cfg) if net is None else net
    try:
        outputs = _forward(net, inputs, 'meta')
    except RuntimeError:  # it depends on tensor values, or an operator exists for real tensors only
        net = MODELS.build(copy.deepcopy(cfg))
        try:
            outputs = _forward(net, inputs, 'cpu')
        except RuntimeError as error:
            shapes = [tuple(one.shape) for one in ([inputs] if isinstance(inputs, Tensor) else inputs)]
            raise UserError(
                f'{type(net).__name__} cannot process inputs of the shapes {shapes}: {error}'
            ) from error
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    if not isinstance(outputs, list | tuple) or not all(isinstance(one, Tensor) for one in outputs):
        raise UserError(
            f'{type(net).__name__}: expected a tuple of tensors as output, got {type(outputs).__name__}.'
        )
    return net, tuple(torch.empty_like(one, device='meta') for one in outputs)


@torch.no_grad()
def _forward(net: nn.Module, inputs: Tensor | Sequence[Tensor], device: str) -> object:
    net.to(device)
    net.eval()  # some networks of the upstream libraries do not return themselves
    if isinstance(inputs, Tensor):
        return net(torch.zeros_like(inputs, device=device))
    return net(tuple(torch.zeros_like(one, device=device) for one in inputs))


def channels_of(features: Sequence[Tensor]) -> list[int]:
    """Return the channels of each feature map (B, C, H, W), vector (B, C) or token sequence (B, N, C)."""
    return [one.shape[1] if one.dim() == 4 else one.shape[-1] for one in features]


def strides_of(maps: Sequence[Tensor]) -> list[int] | None:
    """Return the strides of the feature maps of a :data:`PYRAMID_IMAGE`; None for other outputs."""
    if not maps or any(one.dim() != 4 or one.shape[3] <= one.shape[2] for one in maps):
        return None
    height, width = PYRAMID_IMAGE
    return [round((width - height) / (one.shape[3] - one.shape[2])) for one in maps]
