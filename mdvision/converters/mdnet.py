"""Convert the authors' MDNet, MobileNet and MobileNetV2 checkpoints (Gaojinghan1/MDNET).

Classifiers become MMPretrain's ``ImageClassifier`` (``backbone.*``, ``head.fc.*``).
"""

from torch import Tensor

from .key_map import KeyMap

__all__ = ['KEY_MAPS']


def _linear_weight(tensor: Tensor) -> Tensor:
    """Convert the weight of a 1x1 convolution (classes, C, 1, 1) to that of a linear layer (classes, C)."""
    return tensor.reshape(tensor.shape[:2])


def _mobilenet_v2(*parts: str) -> KeyMap:
    return KeyMap(
        top=(*((part, f'backbone.{part}') for part in parts), ('conv2.', 'head.fc.')),
        tensors={r'head\.fc\.weight': _linear_weight},
    )


_MOBILENET = KeyMap(
    top=(('stem.', 'backbone.stem.'), ('conv', 'backbone.conv'), ('fc.', 'head.fc.')),
)

KEY_MAPS = {
    'mdnet': _mobilenet_v2('pre.', 'transform.', 'stage', 'conv1.'),
    'mobilenet_v2_cifar': _mobilenet_v2('pre.', 'stage', 'conv1.'),
    'mobilenet_cifar': _MOBILENET,
}
