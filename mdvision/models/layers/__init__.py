"""Network layers: those that several networks share, and those too long for a network's own file."""

from .differential_attention import DifferentialAttention, LegacyDifferentialAttention, SelfAttention
from .gelu_mlp import GELUMLP
from .init import he_out_
from .mdnet_block import MDNetBlock
from .slot import Slot, build_slot, slot_per_stage
from .soft_ban import SoftBAN

__all__ = [
    'GELUMLP',
    'DifferentialAttention',
    'LegacyDifferentialAttention',
    'MDNetBlock',
    'SelfAttention',
    'Slot',
    'SoftBAN',
    'build_slot',
    'he_out_',
    'slot_per_stage',
]
