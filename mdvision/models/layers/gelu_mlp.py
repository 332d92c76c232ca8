"""The two-layer MLP of the transformers. Shapes: ... leading axes, C channels in, E hidden, K out."""

from mmengine.model import BaseModule
from torch import Tensor, nn

__all__ = ['GELUMLP']


class GELUMLP(BaseModule):
    """``y = drop(W2 drop(GELU(W1 x + b1)) + b2)``; with ``activation_out``, ``y = drop(GELU(...))``.

    GELU is the exact form, ``x/2 (1 + erf(x / sqrt 2))``.

    Args:
        in_channels: C.
        hidden_channels: E.
        out_channels: K; C by default.
        drop_rate: of both dropouts.
        activation_out: apply GELU after the second linear layer as well.
        dropout_out: whether there is the second dropout, on the output.
        unused_norm: have a layer norm over E that is never applied, as some checkpoints do. Its
            parameters are frozen.
        init_cfg: mmengine initialization.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int | None = None,
        drop_rate: float = 0.0,
        activation_out: bool = False,
        dropout_out: bool = True,
        unused_norm: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.fc1 = nn.Linear(in_channels, hidden_channels)
        self.act = nn.GELU()
        self.drop = nn.Dropout(drop_rate)
        self.fc2 = nn.Linear(hidden_channels, out_channels or in_channels)
        self.act_out = nn.GELU() if activation_out else nn.Identity()
        self.drop_out = nn.Dropout(drop_rate) if dropout_out else nn.Identity()
        if unused_norm:
            # Frozen, since distributed training waits for the gradients of all trainable parameters.
            self.norm = nn.LayerNorm(hidden_channels).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., K)."""
        x = self.drop(self.act(self.fc1(x)))
        return self.drop_out(self.act_out(self.fc2(x)))
