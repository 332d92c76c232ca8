"""Self-attention, and the difference of two attention maps in its current and its legacy form.

Code of the authors: eithannak29/NanoDiffVision; the idea is the DIFF Transformer's,
https://arxiv.org/abs/2410.05258. Submodule names are the authors', so that their checkpoints load.

Shapes: B batch, N tokens, D channels, a heads, h = D / a channels of a head.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdvision.errors import UserError

__all__ = ['DifferentialAttention', 'LegacyDifferentialAttention', 'SelfAttention', 'initial_lambda']


def initial_lambda(layer_index: int) -> float:
    """``0.8 - 0.6 exp(-0.3 (i - 1))``: 0.2 for i = 1, growing to 0.8.

    Evaluated in float32, as the authors do, so that float64 results agree too.
    """
    # The device is explicit because this number must also exist while a model is built on 'meta'.
    exponent = torch.tensor(-0.3 * (layer_index - 1), dtype=torch.float32, device='cpu')
    return (0.8 - 0.6 * exponent.exp()).item()


def _check_heads(name: str, in_channels: int, num_heads: int) -> None:
    if num_heads < 1 or in_channels % num_heads:
        raise UserError(
            f'{name}: num_heads must divide the {in_channels} channels, got num_heads={num_heads}.'
        )


def _split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, a * h) -> (B, a, N, h); a head is h consecutive channels."""
    return x.unflatten(2, (num_heads, -1)).transpose(1, 2)


def _join_heads(x: Tensor) -> Tensor:
    """(B, a, N, h) -> (B, N, a * h)."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """``y = Wo concat_j(softmax(q_j k_j^T / sqrt h) v_j) + bo`` with ``k = Wk x + bk``; q, v without bias.

    Args:
        in_channels: D.
        num_heads: a; divides D.
        key_bias: whether there is a bk. It adds one number to all scores of a query, which the softmax
            cancels: it has no effect and gets no gradient, but checkpoints contain it.

    Raises:
        UserError: when ``num_heads`` does not divide ``in_channels``.
    """

    def __init__(self, in_channels: int, num_heads: int, key_bias: bool = True):
        super().__init__()
        _check_heads(type(self).__name__, in_channels, num_heads)
        self.num_heads = num_heads
        self.K = nn.Linear(in_channels, in_channels, bias=key_bias)
        self.Q = nn.Linear(in_channels, in_channels, bias=False)
        self.V = nn.Linear(in_channels, in_channels, bias=False)
        self.out_proj = nn.Linear(in_channels, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        query, key, value = (_split_heads(linear(x), self.num_heads) for linear in (self.Q, self.K, self.V))
        return self.out_proj(_join_heads(F.scaled_dot_product_attention(query, key, value)))


class _TwoMapAttention(nn.Module, ABC):
    """Base class of both differential forms.

    ``A_j = softmax(q1_j k1_j^T / sqrt h) - lambda_j softmax(q2_j k2_j^T / sqrt h)`` with
    ``lambda_j = exp(lq1_j . lk1_j) - exp(lq2_j . lk2_j) + l0(i)``, l0 of :func:`initial_lambda`.

    Args:
        in_channels: D.
        num_heads: a; divides D.
        layer_index: i.
        head_norm: False has the norm of the subclass; True the DIFF Transformer's:
            ``(1 - l0) RMSNorm_h(A_j v_j)`` of each head, with one weight of h entries, and no other norm.
        lambda_shape: shape of each of the four vectors: the dot product is over the last axis; the
            axis before it, if any, is that of the heads.
        lambda_std: of their initial values.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        layer_index: int,
        head_norm: bool,
        lambda_shape: tuple[int, ...],
        lambda_std: float,
    ):
        super().__init__()
        _check_heads(type(self).__name__, in_channels, num_heads)
        self.num_heads = num_heads
        # A plain number: checkpoints do not contain it.
        self.lambda_init = initial_lambda(layer_index)
        for name in ('q1', 'k1', 'q2', 'k2'):
            vector = nn.Parameter(torch.empty(lambda_shape))
            nn.init.normal_(vector, std=lambda_std)
            self.register_parameter(f'lambda_{name}', vector)
        self.head_norm = nn.RMSNorm(in_channels // num_heads, eps=1e-5) if head_norm else None

    def second_weight(self) -> Tensor:
        """lambda, (1, 1, 1) when the heads share it and (a, 1, 1) otherwise."""
        first = (self.lambda_q1 * self.lambda_k1).sum(-1).exp()
        second = (self.lambda_q2 * self.lambda_k2).sum(-1).exp()
        return (first - second + self.lambda_init).reshape(-1, 1, 1)

    def attend(self, query1: Tensor, key1: Tensor, query2: Tensor, key2: Tensor, value: Tensor) -> Tensor:
        """``concat_j(A_j v_j)``: five (B, a, N, h) -> (B, N, D)."""
        # (A1 - lambda A2) v = A1 v - lambda (A2 v): the fused kernel serves both terms.
        first = F.scaled_dot_product_attention(query1, key1, value)
        second = F.scaled_dot_product_attention(query2, key2, value)
        out = first - self.second_weight() * second
        if self.head_norm is not None:
            out = self.head_norm(out) * (1 - self.lambda_init)
        return _join_heads(out)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""

    def extra_repr(self) -> str:
        return f'num_heads={self.num_heads}, lambda_init={self.lambda_init:.6g}'


class DifferentialAttention(_TwoMapAttention):
    """``y = LN_D(Wo concat_j(A_j v_j))``; all linear layers without bias. (With ``head_norm``, no LN.)

    ``q = Wq x`` and ``k = Wk x`` have 2D channels; head j owns 2h consecutive ones, its first h are
    q1_j (k1_j) and its last h q2_j (k2_j). See :class:`_TwoMapAttention` for A_j.

    Args:
        in_channels: D.
        num_heads: a; divides D.
        layer_index: i of l0(i).
        head_norm: an RMS norm of each head and the factor 1 - l0 before Wo instead of the LN after it.
        lambda_per_head: the four vectors are (a, h), so that each head learns its lambda, instead
            of (h,), shared by all heads.

    Raises:
        UserError: when ``num_heads`` does not divide ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        layer_index: int = 0,
        head_norm: bool = False,
        lambda_per_head: bool = False,
    ):
        _check_heads(type(self).__name__, in_channels, num_heads)
        head_channels = in_channels // num_heads
        lambda_shape = (num_heads, head_channels) if lambda_per_head else (head_channels,)
        super().__init__(in_channels, num_heads, layer_index, head_norm, lambda_shape, lambda_std=0.1)
        self.q_proj = nn.Linear(in_channels, 2 * in_channels, bias=False)
        self.k_proj = nn.Linear(in_channels, 2 * in_channels, bias=False)
        self.v_proj = nn.Linear(in_channels, in_channels, bias=False)
        self.out_proj = nn.Linear(in_channels, in_channels, bias=False)
        self.norm = nn.Identity() if head_norm else nn.LayerNorm(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        # (B, N, 2D) -> (B, a, N, 2h) -> twice (B, a, N, h)
        query1, query2 = _split_heads(self.q_proj(x), self.num_heads).chunk(2, dim=-1)
        key1, key2 = _split_heads(self.k_proj(x), self.num_heads).chunk(2, dim=-1)
        value = _split_heads(self.v_proj(x), self.num_heads)
        return self.norm(self.out_proj(self.attend(query1, key1, query2, key2, value)))


class LegacyDifferentialAttention(_TwoMapAttention):
    """``y = Wo GN(concat_j(A_j v_j)) + bo``, the form behind the 38.1 K / 95.75 % result.

    Five linear layers D -> D give q1, k1, q2, k2, v; only the keys have a bias. Each head has its
    own lambda, whose factors are numbers. GN has 4 groups, and the statistics of a group are taken
    over its D/4 channels and all N tokens: a token depends on the others through them too.

    Args:
        in_channels: D; a multiple of 4.
        num_heads: a; divides D.
        layer_index: i of l0(i).
        head_norm: an RMS norm of each head and the factor 1 - l0 instead of GN.
        key_bias: whether the keys have a bias; see :class:`SelfAttention`.

    Raises:
        UserError: when ``num_heads`` does not divide ``in_channels``, or the 4 groups do not.
    """

    num_groups = 4

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        layer_index: int = 0,
        head_norm: bool = False,
        key_bias: bool = True,
    ):
        lambda_shape = (num_heads, 1)
        super().__init__(in_channels, num_heads, layer_index, head_norm, lambda_shape, lambda_std=1.0)
        if in_channels % self.num_groups and not head_norm:
            raise UserError(
                f'LegacyDifferentialAttention: the channels must be a multiple of {self.num_groups}, the '
                f'groups of its norm, got {in_channels}. Use another width, or head_norm=True.'
            )
        self.K1 = nn.Linear(in_channels, in_channels, bias=key_bias)
        self.Q1 = nn.Linear(in_channels, in_channels, bias=False)
        self.K2 = nn.Linear(in_channels, in_channels, bias=key_bias)
        self.Q2 = nn.Linear(in_channels, in_channels, bias=False)
        self.V = nn.Linear(in_channels, in_channels, bias=False)
        self.norm = nn.Identity() if head_norm else nn.GroupNorm(self.num_groups, in_channels)
        self.out_proj = nn.Linear(in_channels, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        linears = (self.Q1, self.K1, self.Q2, self.K2, self.V)
        out = self.attend(*(_split_heads(linear(x), self.num_heads) for linear in linears))
        out = self.norm(out.transpose(1, 2)).transpose(1, 2)  # GN wants (B, D, N)
        return self.out_proj(out)
