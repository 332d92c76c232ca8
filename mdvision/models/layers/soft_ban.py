"""SoftBAN: batch norm whose scale is a channel attention.

Paper: EMANet. Shapes: B batch, C channels, H x W feature map.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError

__all__ = ['SoftBAN']

_SCALES = ('softmax', 'sigmoid', 'softmax_times_channels')


class SoftBAN(nn.Module):
    """Channel-attention batch norm: ``y = (x - mean) / std * weight * p + bias``.

    ``z = sigmoid(weight_readjust * mean_hw(x) + bias_readjust)`` and, per sample, ``p`` is

    * ``scale='softmax'``: softmax of z over the C channels (the authors' form). Its values are
      about 1/C, so the output has a standard deviation of about ``weight / C``;
    * ``scale='softmax_times_channels'``: the same times C (corrected: about 1 at the start);
    * ``scale='sigmoid'``: z itself (corrected: channels do not compete).

    It is deliberately not a ``_BatchNorm``: the authors' detector freezes every BatchNorm2d but
    leaves this layer with batch statistics. ``follow_norm_eval=True`` makes backbones freeze it
    together with the others when they run with ``norm_eval=True``.

    Args:
        num_channels: C.
        scale: one of the three forms above.
        follow_norm_eval: whether ``norm_eval`` of a backbone applies to this layer.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics.
    """

    def __init__(
        self,
        num_channels: int,
        scale: str = 'softmax',
        follow_norm_eval: bool = False,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ):
        super().__init__()
        if scale not in _SCALES:
            raise UserError(f'SoftBAN: scale must be one of {_SCALES}, got {scale!r}.')
        self.num_channels = num_channels
        self.scale = scale
        self.follow_norm_eval = follow_norm_eval
        self.eps = eps
        self.momentum = momentum
        shape = (1, num_channels, 1, 1)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.weight_readjust = nn.Parameter(torch.zeros(shape))
        self.bias_readjust = nn.Parameter(torch.full(shape, -1.0))
        self.register_buffer('running_mean', torch.zeros(num_channels))
        self.register_buffer('running_var', torch.ones(num_channels))
        # Stored by the authors' layer and never incremented; kept so that checkpoints match.
        self.register_buffer('num_batches_tracked', torch.tensor(0, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        z = torch.sigmoid(self.weight_readjust * x.mean((2, 3), keepdim=True) + self.bias_readjust)
        if self.scale != 'sigmoid':
            z = z.softmax(dim=1)
        if self.scale == 'softmax_times_channels':
            z = z * self.num_channels
        x = F.batch_norm(
            x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps
        )
        return x * (self.weight * z) + self.bias

    def extra_repr(self) -> str:
        return f'{self.num_channels}, scale={self.scale!r}, follow_norm_eval={self.follow_norm_eval}'
