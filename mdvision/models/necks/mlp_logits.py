"""An MLP classifier in place of the neck. Shapes: B batch, C features, K classes."""

from torch import Tensor

from mdvision.registry import MODELS

from ..layers import GELUMLP

__all__ = ['MLPLogits']


@MODELS.register_module()
class MLPLogits(GELUMLP):
    """``logits = drop(GELU(W2 drop(GELU(W1 x + b1)) + b2))``, the classifier of NanoDiffVision.

    In MMPretrain it is the neck, because ``ClsHead`` returns the neck's output as the logits::

        neck=dict(type='mdvision.MLPLogits', in_channels=32, hidden_channels=128, num_classes=10),
        head=dict(type='ClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1))

    The authors' GELU and dropout on the logits keep every logit above -0.17 and, in training, set
    some to zero.

    Args:
        in_channels: C.
        hidden_channels: width of the hidden layer.
        num_classes: K.
        activation_out: False gives plain linear logits, without that GELU and dropout.
        drop_rate: of the dropouts; the authors have 0.1 here whatever the rate of the backbone.
        unused_norm: have the layer norm that the authors never apply, as their checkpoints do.
        init_cfg: mmengine initialization.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_classes: int,
        activation_out: bool = True,
        drop_rate: float = 0.1,
        unused_norm: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            in_channels,
            hidden_channels,
            num_classes,
            drop_rate,
            activation_out,
            dropout_out=activation_out,
            unused_norm=unused_norm,
            init_cfg=init_cfg,
        )
        self.num_classes = num_classes

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Features (B, C), the last entry counts -> ((B, K),)."""
        return (super().forward(features[-1]),)
