"""Parts of networks: what several share, and what would be too long for the file of one."""

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
