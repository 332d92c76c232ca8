"""Convert the authors' small ViTs (eithannak29/NanoDiffVision).

Self-attention, current and legacy differential attention have the same outer names. A Lightning checkpoint
has the parameters under ``state_dict``, without a prefix.
"""

from .key_map import KeyMap

__all__ = ['KEY_MAPS']

_KEPT = ('cls_token', 'positional_embeddings', 'patch_embeddings.', 'transformer_encoder.')

KEY_MAPS = {
    'diff_vit': KeyMap(top=(*((name, f'backbone.{name}') for name in _KEPT), ('mlp_head.', 'neck.'))),
}
