"""torchvision's ImageNet weights -> our ResNets and MobileNetV2s, with or without attention.

The attention that torchvision does not have keeps its initial values.
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
