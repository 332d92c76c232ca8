"""Convert torchvision's ImageNet weights to mdvision's ResNets and MobileNetV2s, with or without attention.

Attention modules, which torchvision does not have, keep their initial values.
"""

from .key_map import KeyMap

__all__ = ['KEY_MAPS']

KEY_MAPS = {
    'torchvision_resnet': KeyMap(
        (
            *((name, f'backbone.{name}') for name in ('conv1.', 'bn1.', 'layer')),
            ('fc.', 'head.fc.'),
        )
    ),
    'torchvision_mobilenet_v2': KeyMap(
        (('features.', 'backbone.features.'), ('classifier.1.', 'head.fc.')),
    ),
}
