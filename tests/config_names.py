"""The grammar of the names of config files, as configs/README.md states it, and what a name means."""

import re
from dataclasses import dataclass
from pathlib import Path

import mdvision

__all__ = [
    'CONFIGS',
    'DATA_SETS',
    'DETECTORS',
    'ROOT',
    'SETTINGS',
    'ConfigName',
    'default_models',
    'read_name',
]

ROOT = Path(__file__).resolve().parents[1]
# Every config that can be run, by its path from the root.
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
SETTINGS = ('balanced', 'best', 'corrected', 'finetune')
DETECTORS = ('faster_rcnn', 'faster_rcnn_c4', 'retinanet')
DATA_SETS = dict(
    caltech101='Caltech101',
    cifar10='CIFAR10',
    cifar100='CIFAR100',
    cifar10_jpeg='CIFAR10JPEG',
    emnist='EMNIST',
    fashion_mnist='FashionMNIST',
    image_folder='ImageFolder',
    imagenet='ImageNet',
    mini_imagenet='MiniImageNet',
    mnist='MNIST',
    bccd='VOCDataset',
    coco='CocoDataset',
    minivoc='MiniVOCDataset',
    voc='VOCDataset',
)
# The ending of a model's name that a name may leave out, first the one of the data set's own models.
ENDINGS = dict(cifar10='_cifar', cifar100='_cifar', cifar10_jpeg='_cifar', mini_imagenet='_mini')


@dataclass(frozen=True)
class ConfigName:
    """What the name of a config says.

    Attributes:
        model: the named model.
        exact: whether the model is given in full, or by the data set; else the size is the config's own.
        setting: one of ``SETTINGS``, or ''.
        detector: one of ``DETECTORS``, or '' for a classifier.
        data_set: a key of ``DATA_SETS``.
        cpu: whether it is the small form for a CPU.
    """

    model: str
    exact: bool
    setting: str
    detector: str
    data_set: str
    cpu: bool


def default_models() -> dict[str, str]:
    """The model that a name without one means, by folder, from the table of configs/README.md."""
    page = (ROOT / 'configs' / 'README.md').read_text(encoding='utf-8')
    return dict(re.findall(r'^\| \[`(\w+)`\]\(\w+/README\.md\) \| `(\w+)` \|', page, re.MULTILINE))


def read_name(path: str) -> ConfigName:
    """Take the name of a config apart: the longest of each part counts.

    Args:
        path: such as ``configs/emanet/faster_rcnn_voc.py``.

    Raises:
        ValueError: it is not of the grammar.
    """
    folder, stem = Path(path).parent.name, Path(path).stem
    rest, cpu = stem.removesuffix('_cpu'), stem.endswith('_cpu')
    rest, data_set = _ending(rest, DATA_SETS)
    if not data_set and folder in DATA_SETS:
        data_set = folder
    rest, detector = _ending(rest, DETECTORS)
    model, exact, setting = _model(rest, data_set, default_models().get(folder, ''))
    if not data_set or not model:
        raise ValueError(
            f'{path}: expected [MODEL_][SETTING_][DETECTOR_]DATASET[_cpu], see configs/README.md'
        )
    return ConfigName(model, exact, setting, detector, data_set, cpu)


def _ending(text: str, known) -> tuple[str, str]:
    """What comes before the longest known ending, and that ending."""
    for name in sorted(known, key=len, reverse=True):
        if f'_{text}'.endswith(f'_{name}'):
            return text[: -len(name)].removesuffix('_'), name
    return text, ''


def _model(text: str, data_set: str, default: str) -> tuple[str, bool, str]:
    if not text:
        return default, True, ''
    registered = mdvision.list_models()
    words = text.split('_')
    splits = [('_'.join(words[:n]), '_'.join(words[n:])) for n in range(len(words), 0, -1)]
    own = ENDINGS.get(data_set)
    for endings, exact in (([own] if own else [], True), ([''], True), (['_cifar', '_mini', '_nano'], False)):
        for name, setting in splits:
            found = [name + ending for ending in endings if name + ending in registered]
            if found and setting in ('', *SETTINGS):
                return found[0], exact, setting
    return '', False, ''
