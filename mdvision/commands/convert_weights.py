"""Convert a checkpoint of the authors, or of torchvision, to mdvision's format.

python tools/convert_weights.py emanet50_cifar authors.pth emanet50_cifar.pth
python tools/convert_weights.py dems_vit_tiny a.pth b.pth --cfg-options image_size=256 patch_size=16
python tools/convert_weights.py lma_resnet50 resnet50.pth start.pth --source torchvision
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from mdvision.checkpoints.integrity import seal
from mdvision.checkpoints.reading import check_finite, match_weights, read_file
from mdvision.config.overrides import backbone_option
from mdvision.console import say
from mdvision.converters import convert_state_dict, list_converters
from mdvision.errors import UserError
from mdvision.meta_device import meta_device
from mdvision.models.named import create_backbone, create_model
from mdvision.version import __version__

from .arguments import add_overrides, argument_parser
from .faults import run

__all__ = ['convert', 'convert_checkpoint', 'main', 'parse_args']

# Where the authors' training scripts put the state dict.
_CONTAINERS = ('state_dict', 'net', 'model')
_MIN_SHARE = 0.9


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of ``argv``, by default those of this process."""
    parser = argument_parser(__doc__)
    parser.add_argument('name', help='name of the model, for example emanet50_cifar')
    parser.add_argument('source_path', metavar='src', help='checkpoint to read; code in it is never executed')
    parser.add_argument('target_path', metavar='dst', help='file to write')
    parser.add_argument(
        '--source', default='authors', choices=['authors', 'torchvision'], help='format of the checkpoint'
    )
    add_overrides(
        parser, 'arguments of the backbone that differ from the named model, such as width_mult=0.5'
    )
    parser.add_argument(
        '--allow-partial', action='store_true', help='accept a checkpoint that matches only in part'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    return run(convert, parse_args(argv))


def unwrap(content: object, path: str) -> dict[str, Tensor]:
    """The state dict in what a checkpoint file holds: itself, or below a known key.

    Raises:
        UserError: when there is none, listing the keys that there are.
    """
    for key in _CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if isinstance(content, dict) and content and all(isinstance(v, Tensor) for v in content.values()):
        return content
    found = ', '.join(map(str, list(content)[:8])) if isinstance(content, dict) else type(content).__name__
    raise UserError(
        f'{path} holds no state dict: expected a dict of tensors, or one below '
        f'{" or ".join(map(repr, _CONTAINERS))}; it holds {found}.'
    )


def convert_checkpoint(
    name: str,
    source_path: str,
    target_path: str,
    source: str = 'authors',
    allow_partial: bool = False,
    **overrides,
) -> str:
    """Convert a checkpoint file and check every key and shape against the model.

    A file of the authors must fit in full. One of torchvision has no attention, so there 90 % of
    the parameters must fit.

    Args:
        name: the model, one of :func:`mdvision.list_models`, or a detector of
            :func:`mdvision.converters.list_converters`.
        source_path: file to read; it is read safely, no code in it is run.
        target_path: file to write, for ``load_from`` of a config and ``tools/test.py``.
        source: ``'authors'`` or ``'torchvision'``.
        allow_partial: accept whatever share matches.
        **overrides: arguments of the backbone's class that differ from the name's, such as
            ``width_mult=0.5`` or ``image_size=256, patch_size=16``.

    Returns:
        One line that says how much of the model matched.

    Raises:
        UserError: when the file is unreadable or does not fit, listing the keys of both sides.
    """
    official = unwrap(read_file(source_path), source_path)
    check_finite(official, source_path)
    state_dict = convert_state_dict(name, official, source)
    meta = dict(
        model=name,
        overrides=overrides,
        num_classes=_num_classes(state_dict),
        source=source,
        file=Path(source_path).name,
        mdvision_version=__version__,
    )
    min_match = 0.0 if allow_partial else _MIN_SHARE if source == 'torchvision' else 1.0
    advice = (
        'Check the name of the model; give arguments that differ from its own, such as another width or '
        'patch size, with --cfg-options KEY=VALUE; or allow a partial match with --allow-partial.'
    )
    wanted = _detector_shapes if name.endswith('_detector') else _wanted
    try:
        state_dict, line = match_weights(
            wanted(name, state_dict, **overrides), state_dict, source_path, min_match, advice
        )
    except UserError as error:
        hint = _other_fits(name, official) if source == 'authors' else ''
        raise UserError(f'{error}{hint}') from None
    target = Path(target_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state_dict, meta=meta), target)
    seal(target)
    return f'{name}: {line}; written to {target}'


def _num_classes(state_dict: dict[str, Tensor]) -> int | None:
    """The number of classes of a converted classifier, whatever its head."""
    for key in ('head.fc.bias', 'neck.fc2.bias'):
        if key in state_dict:
            return len(state_dict[key])
    background = state_dict.get('roi_head.bbox_head.fc_cls.bias')
    return None if background is None else len(background) - 1


def _wanted(name: str, state_dict: dict[str, Tensor], **overrides) -> dict[str, Tensor]:
    """The state dict of the model with as many classes as the checkpoint; shapes only."""
    with meta_device():
        return create_model(name, num_classes=_num_classes(state_dict), **overrides).state_dict()


def _detector_shapes(name: str, state_dict: dict[str, Tensor], **overrides) -> dict[str, Tensor]:
    """That of the C4 detector of ``configs/emanet/faster_rcnn_c4_voc.py``, whose stem the file shows."""
    stem = state_dict.get('backbone.conv1.weight')
    small = stem is not None and stem.shape[-1] == 3
    arguments = dict(stem='cifar_pool' if small else 'imagenet', **overrides)
    classes = _num_classes(state_dict) or 20
    with meta_device():
        parts = {
            'backbone.': create_backbone('emanet50', num_stages=3, **arguments),
            'roi_head.shared_head.layer4.': create_backbone('emanet50', **arguments).layer4,
            'rpn_head.rpn_conv.': nn.Conv2d(1024, 512, 3),
            'rpn_head.rpn_cls.': nn.Conv2d(512, 2 * 9, 1),
            'rpn_head.rpn_reg.': nn.Conv2d(512, 4 * 9, 1),
            'roi_head.bbox_head.fc_cls.': nn.Linear(2048, classes + 1),
            'roi_head.bbox_head.fc_reg.': nn.Linear(2048, 4 * (classes + 1)),
        }
    return {prefix + key: t for prefix, part in parts.items() for key, t in part.state_dict().items()}


def _other_fits(name: str, official: dict[str, Tensor]) -> str:
    """A hint at the models whose keys and shapes are those of the file."""
    fits = []
    for other in list_converters():
        if other == name or other.endswith('_detector'):
            continue
        try:
            converted = convert_state_dict(other, official)
            wanted = _wanted(other, converted)
        except UserError:
            continue
        if {k: v.shape for k, v in wanted.items()} == {k: v.shape for k, v in converted.items()}:
            fits.append(other)
    return f'\nIts keys and shapes are those of {" or ".join(fits)}.' if fits else ''


def convert(args: argparse.Namespace) -> None:
    """Convert the file and say how much of it matched."""
    overrides = dict(backbone_option(option) for option in args.cfg_options)
    line = convert_checkpoint(
        args.name, args.source_path, args.target_path, args.source, args.allow_partial, **overrides
    )
    say(line)
