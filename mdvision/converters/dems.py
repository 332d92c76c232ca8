"""Convert the authors' DEMS-ViT classifiers (visresearch/dems).

Their files hold the norm of a merge under two names, ``norm_merge1`` and ``mlp1.norm``; the position tables
are not learned and are only checked.
"""

import math

from torch import Tensor

from mdvision.errors import UserError
from mdvision.models.layers.dems_block import sine_cosine_positions

from .key_map import KeyMap

__all__ = ['KEY_MAPS']


def _positions(key: str, table: Tensor) -> Tensor:
    """Return mdvision's table for the square grid and width of a table (1, G * G, D)."""
    if table.dim() != 3:
        raise UserError(
            f'{key}: a position table must have the shape (1, tokens, width), got {tuple(table.shape)}.'
        )
    _, num_tokens, dim = table.shape
    side = math.isqrt(num_tokens)
    return sine_cosine_positions(side, side, dim)[None]


KEY_MAPS = {
    'dems_vit': KeyMap(
        top=(
            ('cls_token', 'backbone.cls_token'),
            ('patch_embed', 'backbone.patch_embed'),
            ('blocks.', 'backbone.blocks.'),
            ('norm.', 'backbone.norm.'),
            ('norm_merge1.', 'backbone.merges.0.norm.'),
            ('norm_merge2.', 'backbone.merges.1.norm.'),
            ('mlp1.', 'backbone.merges.0.'),
            ('mlp2.', 'backbone.merges.1.'),
            ('head.', 'head.fc.'),
        ),
        inner=(
            (r'\.proj\.proj-1\.', '.depthwise1.'),
            (r'\.proj\.proj-2\.', '.depthwise2.'),
            (r'\.proj\.point_wise\.', '.pointwise.'),
        ),
        constants={r'pos_embed(_\d+)?': _positions},
    )
}
