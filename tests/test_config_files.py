"""Config files are named, documented and written in one way."""

import ast
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import mmengine.hooks
import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS, METRICS, MODELS, PARAM_SCHEDULERS, TRANSFORMS

import mdvision
from mdvision.config import reading
from mdvision.config.reading import load_config
from mdvision.records.ledger import config_for, published
from tests.config_names import (
    CONFIGS,
    DATA_SETS,
    DETECTORS,
    ROOT,
    SETTINGS,
    default_models,
    read_name,
)


@functools.cache
def parsed(path: str) -> Config:
    """A config as its file says, which no test may change."""
    return Config.fromfile(ROOT / path)


# ---- names


def test_every_name_is_of_the_grammar():
    names = {path: read_name(path) for path in CONFIGS}
    assert names['configs/emanet/faster_rcnn_voc.py'].model == 'emanet50'
    assert names['configs/image_folder/resnet18.py'].data_set == 'image_folder'


@pytest.mark.parametrize(
    'path',
    [
        'configs/mdnet/cifar_mobilenet_v2_faster_rcnn_voc.py',  # no model
        'configs/attention/resnet18.py',  # no data set, and the folder is none
        'configs/image_folder/faster_rcnn_voc.py',  # no model, and the folder has no default
        'configs/emanet/emanet50_fast_cifar10.py',  # no setting
        'configs/emanet/emanet50_cifar10_corrected.py',  # a setting after the data set
        'configs/emanet/emanet50_yolo_voc.py',  # no detector
    ],
)
def test_another_name_is_not(path):
    with pytest.raises(ValueError, match=re.escape('expected [MODEL_][SETTING_][DETECTOR_]DATASET[_cpu]')):
        read_name(path)


def test_no_two_configs_share_a_name():
    assert [stem for stem, count in Counter(Path(path).stem for path in CONFIGS).items() if count > 1] == []


def test_the_page_lists_what_a_name_may_say():
    page = (ROOT / 'configs' / 'README.md').read_text(encoding='utf-8')
    rows = {
        part: re.findall(r'`(\w+)`', row)
        for part, row in re.findall(r'^\| `([A-Z]+)` \| (.*) \|$', page, re.M)
    }
    assert sorted(rows['DATASET']) == sorted(DATA_SETS)
    assert sorted(rows['SETTING']) == sorted(SETTINGS)
    assert sorted(rows['DETECTOR']) == sorted(DETECTORS)
    folders = {Path(path).parent.name for path in CONFIGS}
    assert set(default_models()) == folders - {'image_folder'}
    assert set(default_models().values()) <= set(mdvision.list_models())


def slots(backbone: dict) -> list:
    """What is in the two slots of each of four stages, without the prefix of the types."""
    text = re.sub(r"'mdvision\.", "'", str([backbone.get('attention'), backbone.get('conv2')]))
    return [slot if isinstance(slot, list) else [slot] * 4 for slot in ast.literal_eval(text)]


@pytest.mark.parametrize('path', CONFIGS)
def test_a_config_is_what_its_name_says(path):
    name, cfg = read_name(path), parsed(path)
    model = cfg.model
    backbone, named = dict(model.backbone.to_dict()), mdvision.find_model(name.model).backbone
    assert backbone['type'].removeprefix('mdvision.') in (named['type'], f'{named["type"]}Pyramid')
    assert 'depth' not in named or backbone['depth'] == named['depth']
    assert slots(backbone) == slots(named)
    kinds = {'mdvision.FasterRCNN': 'faster_rcnn', 'mdvision.RetinaNet': 'retinanet', 'ImageClassifier': ''}
    c4 = '_c4' if 'shared_head' in model.get('roi_head', {}) else ''
    assert kinds[model.type] + c4 == name.detector
    data_set = cfg.test_dataloader.dataset
    assert data_set.type.removeprefix('mdvision.') == DATA_SETS[name.data_set]
    if name.detector and name.data_set != 'minivoc':
        assert data_set.data_root.startswith(
            f'data/{dict(voc="VOCdevkit").get(name.data_set, name.data_set)}'
        )


def test_a_published_command_with_a_former_name_still_works(monkeypatch):
    said = []
    monkeypatch.setattr(reading, 'say', said.append)
    for former in ('mobilenet_v2_faster_rcnn_voc', 'cifar_mobilenet_v2_faster_rcnn_voc'):
        cfg = load_config(f'{ROOT}/configs/mdnet/{former}.py')
        assert cfg.model.backbone.type == 'mdvision.MDMobileNetV2'
        assert said[-1].endswith('configs/mdnet/mobilenet_v2_cifar_faster_rcnn_voc.py.')
        assert f'{former}.py is now called' in said[-1]


def test_a_former_name_as_a_base_is_refused_with_the_present_one(tmp_path):
    former = {
        'mdnet/mobilenet_v2_faster_rcnn_voc': 'mdnet/mobilenet_v2_cifar_faster_rcnn_voc',
        '_base_/schedules/cpu_5_epochs': '_base_/cpu_5_epochs',
    }
    for name, now in former.items():
        config = tmp_path / 'mine.py'
        config.write_text(f"_base_ = '{ROOT}/configs/{name}.py'")
        wanted = rf'mine\.py: one of its base files is missing: .*{name}\.py\. It is now called .*/{now}\.py'
        with pytest.raises(mdvision.UserError, match=wanted):
            load_config(str(config))


def test_every_config_of_a_published_command_is_there():
    tables = [ROOT / 'results' / 'results.csv', ROOT / 'results' / 'overfit.csv']
    pages = [ROOT / 'README.md', *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/*/README.md')]
    text = '\n'.join(path.read_text(encoding='utf-8') for path in tables + pages)
    named = set(re.findall(r'(?<=tools/)(?:train|test|overfit|compare)\.py (configs/\w+/\w+\.py)', text))
    assert len(named) > 50
    for path in named - set(CONFIGS) - {'configs/emanet/my_config.py'}:
        assert load_config(f'{ROOT}/{path}').model


# ---- docstrings


def docstring_of(path: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / path).read_text(encoding='utf-8')))


@functools.cache
def published_of() -> dict[str, list[dict]]:
    """What the publications say of each config."""
    found = defaultdict(list)
    for row in published(ROOT):
        path = row.get('config') if 'unnamed' in row else config_for(ROOT, row['name'], row['data'])
        found[path].append(row)
    return found


@pytest.mark.parametrize('path', CONFIGS)
def test_a_docstring_says_command_source_and_published_number(path):
    title, _, rest = docstring_of(path).partition('\n')
    assert title.endswith('.')
    command = re.escape(f'python tools/train.py {path}')
    parts = re.fullmatch(
        rf'\n    {command}(?: --cfg-options .*| +#.*\n    .*)?\n\n'
        r'Source: (.+)\.\nReproduces: (.+)\.(\n\n[\s\S]*)?',
        rest,
    )
    assert parts, f'{path}: its docstring has not the form that configs/README.md shows'
    source, reproduces, _ = parts.groups()
    rows = published_of().get(path)
    if rows is None:
        assert reproduces == 'no published number'
    else:
        assert all(row['source'] in source for row in rows)
        assert [row['value'] for row in rows if row['value'] not in re.split(r'[ ,]', reproduces)] == []


@pytest.mark.parametrize('path', CONFIGS)
def test_a_docstring_says_nothing_that_a_training_changes(path):
    text = docstring_of(path)
    assert not re.search(
        r'not trained|trained yet|trained to its end|not measured|minutes|reached', text, re.I
    )
    files = {file.name for file in (*ROOT.glob('configs/**/*.py'), *ROOT.glob('tools/*.py'))}
    assert set(re.findall(r'\b(\w+\.py)\b', text)) <= files


def test_every_published_number_has_a_config_or_a_reason():
    reasons = [row for row in published_of()[None] if not row.get('unnamed')]
    assert {row['data'] for row in reasons} == {'NEBP (private)'}


# ---- types


def types_in(value: object) -> Iterator[str]:
    """Every ``type`` that is a name, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get('type'), str):
            yield value['type']
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from types_in(one)


@pytest.mark.parametrize('path', CONFIGS)
def test_a_class_of_mdvision_has_the_prefix_and_no_other(path):
    registered = {
        name
        for root in (HOOKS, METRICS, MODELS, PARAM_SCHEDULERS, TRANSFORMS)
        for name, cls in root.module_dict.items()
        if cls.__module__.startswith('mdvision.')
    }
    ours = registered | {name for name in mdvision.__all__ if isinstance(getattr(mdvision, name), type)}
    # A bare CheckpointHook is MMEngine's, as in any config; ours takes its place when the runner is built.
    ours -= {name for name in ours if hasattr(mmengine.hooks, name)}
    found = set(types_in(parsed(path).to_dict()))
    assert len(found) > 10
    assert not found & ours
    for name in found:
        if name.startswith('mdvision.'):
            assert isinstance(getattr(mdvision, name.removeprefix('mdvision.')), type)
