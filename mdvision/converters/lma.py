"""Convert the authors' LMA checkpoints (ndsclark/LMANet).

Classifiers become MMPretrain's ``ImageClassifier`` (``backbone.*``, ``head.fc.*``). torchvision's own
MobileNetV2 weights need no conversion: they already have mdvision's names.
"""

from .key_map import KeyMap

__all__ = ['KEY_MAPS']

_RESNET = KeyMap(
    top=(
        ('conv1.', 'backbone.conv1.'),
        ('bn1.', 'backbone.bn1.'),
        ('layer', 'backbone.layer'),
        ('fc.', 'head.fc.'),
    ),
)

# The authors' attention is member 2 of a block's ``conv`` and shifts the two after it by one; here it is
# beside ``conv``. Block 1 has none. The order of the rules keeps a key from moving twice.
_BLOCKS_2_TO_17 = r'(\.features\.(?:[2-9]|1[0-7])\.)'
_MOBILENET_V2 = KeyMap(
    top=(('features.', 'backbone.features.'), ('classifier.1.', 'head.fc.')),
    inner=(
        (_BLOCKS_2_TO_17 + r'conv\.2\.conv_', r'\1attention.conv_'),
        (_BLOCKS_2_TO_17 + r'conv\.3\.', r'\1conv.2.'),
        (_BLOCKS_2_TO_17 + r'conv\.4\.', r'\1conv.3.'),
    ),
)

KEY_MAPS = {
    'lma_resnet': _RESNET,
    'lma_mobilenet_v2': _MOBILENET_V2,
}
