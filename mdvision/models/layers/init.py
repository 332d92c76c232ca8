"""Weight initialization shared by the backbones."""

import math

from torch import nn

__all__ = ['he_out_']


def he_out_(module: nn.Module) -> None:
    """Initialize every Conv2d weight below ``module`` from Normal(0, sqrt(2 / (kh * kw * out_channels))).

    ``out_channels`` is not divided by the groups, which is also what ``kaiming_normal_`` with
    ``mode='fan_out'`` computes. Biases keep PyTorch's default.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            kernel_height, kernel_width = layer.kernel_size
            nn.init.normal_(
                layer.weight, 0.0, math.sqrt(2.0 / (kernel_height * kernel_width * layer.out_channels))
            )
