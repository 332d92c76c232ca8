"""Which runs a comparison consists of, and whether those of an earlier start are still the same."""

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mdvision.config.overrides import literal
from mdvision.config.prepare import prepare
from mdvision.errors import UserError
from mdvision.version import __version__

__all__ = ['Variant', 'parse_seeds', 'plan_variants', 'resolve', 'settings_of']


@dataclass(frozen=True)
class Variant:
    """One variant of the experiment.

    Attributes:
        name: name in the tables.
        folder: its name as a folder.
        config: path of the config file.
        options: ``--cfg-options`` of the run.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    folder: str = field(init=False)

    def __post_init__(self):
        folder = re.sub(r'[^\w.+-]+', '_', self.name).strip('_.')
        if len(folder) > 80:  # file names are limited to 255 bytes
            folder = f'{folder[:70]}_{hashlib.sha256(folder.encode()).hexdigest()[:8]}'
        object.__setattr__(self, 'folder', folder or 'variant')


def plan_variants(args: argparse.Namespace) -> list[Variant]:
    """Return the variants that the arguments request, in order.

    Raises:
        UserError: the arguments do not fit together, or two variants have the same name.
    """
    common = tuple(f'{key}={value!r}' for key, value in map(_option, args.cfg_options))
    if args.vary:
        variants = _varied(args.config, args.vary, common)
    else:
        paths = [Path(config) for config in args.config]
        same_stem = len({path.stem for path in paths}) < len(paths)
        names = [f'{path.parent.name}/{path.stem}' if same_stem else path.stem for path in paths]
        variants = [Variant(name, config, common) for name, config in zip(names, args.config, strict=True)]
    if args.names:
        if len(args.names) != len(variants):
            raise UserError(
                f'--names has {len(args.names)} names for {len(variants)} variants: expected one per variant.'
            )
        variants = [
            Variant(name, variant.config, variant.options)
            for name, variant in zip(args.names, variants, strict=True)
        ]
    if len(variants) < 2:
        raise UserError(
            'A comparison needs at least two variants: pass several configs, or one config with --vary KEY '
            'VALUE VALUE.'
        )
    # Folders on some systems are case-insensitive.
    folders = [variant.folder.lower() for variant in variants]
    for variant in variants:
        if folders.count(variant.folder.lower()) > 1:
            raise UserError(f'Two variants would be named {variant.name!r}: name them with --names A B ...')
    return variants


def _varied(configs: Sequence[str], vary: Sequence[str], common: tuple[str, ...]) -> list[Variant]:
    if len(configs) > 1:
        raise UserError(f'--vary takes one config, got {len(configs)}: {", ".join(configs)}.')
    key, *texts = vary
    if not texts or '=' in key:
        raise UserError(f'--vary {" ".join(vary)}: expected a key and its values, as KEY VALUE VALUE.')
    values = [literal(text) for text in texts]
    # Last, so that it overrides the common options.
    return [Variant(_name_of(key, value), configs[0], (*common, f'{key}={value!r}')) for value in values]


def _name_of(key: str, value: object) -> str:
    if value is None:
        return 'none'
    if isinstance(value, dict) and isinstance(value.get('type'), str):
        arguments = ', '.join(f'{k}={v}' for k, v in value.items() if k != 'type')
        return value['type'].rpartition('.')[2] + (f'({arguments})' if arguments else '')
    return value if isinstance(value, str) else f'{key.rpartition(".")[2]}={value}'


def _option(option: str) -> tuple[str, object]:
    key, equals, text = option.partition('=')
    if not equals or not key:
        raise UserError(f'--cfg-options {option!r}: expected key=value.')
    return key.strip(), literal(text.strip())


def parse_seeds(texts: Sequence[str]) -> list[int]:
    """Parse seeds: ``3`` is 0, 1, 2; several numbers are the seeds themselves.

    Raises:
        UserError: not a number, a negative one, or a duplicate.
    """
    if not all(text.isdigit() for text in texts):
        raise UserError(
            f'--seeds {" ".join(texts)}: expected the number of seeds, or the seeds themselves: 3, or 0 1 2.'
        )
    if len(texts) == 1 and int(texts[0]) > 20:
        raise UserError(
            f'--seeds {texts[0]} asks for {texts[0]} seeds, from 0 on. Expected at most 20, or '
            'the seeds themselves: --seeds 42 43 44.'
        )
    seeds = list(range(int(texts[0]))) if len(texts) == 1 else [int(text) for text in texts]
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f'--seeds {" ".join(texts)}: expected at least one seed, without duplicates.')
    return seeds


def resolve(variant: Variant) -> Config:
    """Return the config as the run will have it.

    Raises:
        UserError: a config or option that the run would reject.
    """
    try:
        cfg = prepare(variant.config, variant.options)
    except UserError as error:
        raise UserError(f'{variant.config}: {error}') from error
    if not cfg.get('train_cfg') or not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise UserError(f'{variant.config}: expected a config with training and validation.')
    return cfg


def is_epoch_based(cfg: Config) -> bool:
    return bool(cfg.train_cfg.get('max_epochs')) and cfg.train_cfg.get('by_epoch', True)


def settings_of(variant: Variant, cfg: Config, arguments: Sequence[str]) -> dict:
    """Return what must stay the same for finished runs of a variant to count.

    Args:
        cfg: the config with all options applied.
        arguments: further arguments of the run, except those of a single seed.
    """
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return dict(
        config=variant.config,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        cfg_options=list(variant.options),
        arguments=list(arguments),
        mdvision=__version__,
    )
