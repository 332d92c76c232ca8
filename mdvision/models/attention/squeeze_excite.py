"""Squeeze-and-excitation (SE).

Paper: Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
"""

from torch import Tensor, nn

from mdvision.errors import UserError
from mdvision.registry import MODELS

__all__ = ['SqueezeExcite']


@MODELS.register_module()
class SqueezeExcite(nn.Module):
    """``y = x * sigmoid(W2 relu(W1 mean_hw(x)))``, linear layers without bias.

    Args:
        in_channels: C.
        reduction: the hidden layer has C / reduction units, at least one.
    """

    def __init__(self, in_channels: int, reduction: int = 16):
        super().__init__()
        if not 1 <= reduction <= in_channels:
            raise UserError(
                f'SqueezeExcite: in_channels={in_channels} leaves no hidden unit at reduction={reduction}. '
                f'Use reduction={in_channels} or less, at least 1.'
            )
        self.fc = nn.Sequential(
            nn.Linear(in_channels, in_channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(in_channels // reduction, in_channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]
