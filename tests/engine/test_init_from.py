"""A training that starts from a trained model with the same or other classes."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mdvision.checkpoints.reading import read_checkpoint
from mdvision.commands import train as training
from mdvision.commands.switches import initialize_model
from mdvision.engine import init_from
from mdvision.engine.init_from import initialize
from mdvision.errors import UserError
from mdvision.work_dir.model_file import describe, write_model
from tests.data_sets import write_image_folder
from tests.inference.conftest import CLASSES, random_model, small_classifier, small_detector
from tests.running import ROOT

FASTER_RCNN = 'attention/resnet18_faster_rcnn_voc.py'
RETINANET = 'emanet/retinanet_voc.py'
ANIMALS = ('cat', 'dog', 'owl')
CELLS = ('RBC', 'WBC')


def with_classes(cfg: Config, number: int) -> Config:
    """The config with another number of classes."""
    for head in (
        cfg.model.get('head'),
        cfg.model.get('bbox_head'),
        cfg.model.get('roi_head', {}).get('bbox_head'),
    ):
        if head:
            head.num_classes = number
    init_default_scope(cfg.default_scope)
    return cfg


def classifier(number: int = 3) -> Config:
    return with_classes(small_classifier(), number)


def detector(name: str, number: int = 3) -> Config:
    return with_classes(small_detector(name), number)


def write(folder: Path, cfg: Config, classes: tuple[str, ...], **more) -> tuple[str, dict]:
    """The model file of a config with random weights, and the weights."""
    weights = random_model(cfg, seed=1).state_dict()
    write_model(folder, describe(cfg, classes, 'trained'), weights, **more)
    return str(folder), weights


def start(cfg: Config, path: str, classes: tuple[str, ...], **more) -> tuple[dict, dict, list[str]]:
    """The weights before and after the start of a training, and what it says."""
    model = random_model(cfg, seed=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    lines = initialize(model, cfg, path, classes, **more)
    return before, model.state_dict(), lines


def of_file(after: dict, given: dict) -> set[str]:
    """The names of the tensors that have the values of the file."""
    return {key for key in after if key in given and torch.equal(after[key], given[key])}


def untouched(before: dict, after: dict) -> set[str]:
    return {key for key in after if torch.equal(before[key], after[key])}


HEAD = {'head.fc.weight', 'head.fc.bias'}


@pytest.mark.parametrize(
    ('number', 'classes', 'both'),
    [
        (2, ('dog', 'bird'), 'dog'),
        (3, ('ant', 'bee', 'fly'), 'none'),
        (3, ('dog', 'cat', 'owl'), 'cat, dog, owl'),
    ],
    ids=['fewer', 'as many others', 'another order'],
)
def test_of_a_classifier_all_but_the_last_layer_is_taken(tmp_path, number, classes, both):
    path, given = write(tmp_path, classifier(), ANIMALS)
    before, after, lines = start(classifier(number), path, classes)
    assert untouched(before, after) >= HEAD
    assert after.keys() - HEAD <= of_file(after, given)
    assert 'head.fc.weight' not in of_file(after, given)  # the bias is zero in both
    whole, share = len(after), sum(v.numel() for k, v in after.items() if 'running' not in k)
    share = 100 * (1 - sum(after[key].numel() for key in HEAD) / share)
    assert lines == [
        f'init from {path} (trained): {whole - 2} of {whole} tensors taken ({share:.1f} % of the parameters)',
        f'  taken: backbone {whole - 2} of {whole - 2}, head 0 of 2',
        '  new, as they depend on the classes: head.fc',
        '  classes in the file: cat, dog, owl (3); in this run: '
        f'{", ".join(classes)} ({number}); in both: {both}',
    ]


def test_with_the_same_classes_everything_is_taken(tmp_path):
    path, given = write(tmp_path, classifier(), ANIMALS)
    _, after, lines = start(classifier(), path, ANIMALS)
    assert of_file(after, given) == after.keys() == given.keys()
    assert '(100.0 % of the parameters)' in lines[0]
    assert lines[2:] == ['  classes: the same 3 in the same order: cat, dog, owl']


@pytest.mark.parametrize(
    ('name', 'of_classes'),
    [
        (FASTER_RCNN, {'roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.fc_reg'}),
        (RETINANET, {'bbox_head.retina_cls'}),
    ],
)
@pytest.mark.parametrize(
    ('there', 'here'), [(CLASSES, CELLS), (CELLS, CLASSES), (CLASSES, ('RBC', 'WBC', 'Platelets'))]
)
def test_of_a_detector_all_but_the_layers_of_the_classes_is_taken(tmp_path, name, of_classes, there, here):
    path, given = write(tmp_path, detector(name, len(there)), there)
    before, after, lines = start(detector(name, len(here)), path, here)
    new = {key for key in after if key.rpartition('.')[0] in of_classes}
    assert len(new) == 2 * len(of_classes)
    assert after.keys() - new <= of_file(after, given)
    assert new <= untouched(before, after)
    assert not {key for key in of_file(after, given) & new if key.endswith('weight')}
    assert f'new, as they depend on the classes: {", ".join(sorted(of_classes))}' in lines[2]
    part = 'roi_head.bbox_head' if name == FASTER_RCNN else 'bbox_head'
    whole = sum(key.startswith(f'{part}.') for key in after)
    assert f'{part} {whole - len(new)} of {whole}' in lines[1]


def test_a_box_regressor_for_all_classes_is_taken(tmp_path):
    configs = [detector(FASTER_RCNN, number) for number in (3, 2)]
    for cfg in configs:
        cfg.model.roi_head.bbox_head.reg_class_agnostic = True
    path, given = write(tmp_path, configs[0], CLASSES)
    _, after, lines = start(configs[1], path, CELLS)
    assert 'roi_head.bbox_head.fc_reg.weight' in of_file(after, given)
    assert lines[2] == '  new, as they depend on the classes: roi_head.bbox_head.fc_cls'


def test_equal_shapes_of_another_loss_are_not_taken(tmp_path):
    """Two classes and background have as many scores as three classes without it."""
    softmax = detector(RETINANET, 2)
    softmax.model.bbox_head.loss_cls = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False)
    path, given = write(tmp_path, detector(RETINANET), CLASSES)
    before, after, _ = start(softmax, path, CELLS)
    key = 'bbox_head.retina_cls.weight'
    assert given[key].shape == after[key].shape
    assert torch.equal(before[key], after[key])


def test_another_architecture_is_refused_with_its_parts(tmp_path):
    wide = classifier()
    wide.model.backbone.base_channels = 16
    wide.model.head.in_channels = None
    path, _ = write(tmp_path, wide, ANIMALS)
    with pytest.raises(UserError, match='belongs to another model: ') as error:
        start(classifier(2), path, CELLS)
    # The same are only the counters of its twelve batch norms.
    assert 'By part: backbone 12 of 72, head 0 of 2. At least 50 % of the parameters that' in str(error.value)
    before, after, lines = start(classifier(2), path, CELLS, min_match=0.0)
    assert untouched(before, after) == after.keys()
    assert ': 12 of 74 tensors taken (' in lines[0]
    assert lines[3].startswith('  new, as the file has no such tensor: backbone.')
    assert lines[4].startswith('  not used, as the model has no such tensor: backbone.')


def test_parts_that_only_one_side_has_are_named(tmp_path):
    path, given = write(tmp_path, detector(FASTER_RCNN), CLASSES)
    cfg = detector(FASTER_RCNN, 2)
    cfg.model.neck.num_outs = 5
    cfg.model.neck.add_extra_convs = 'on_output'
    cfg.model.rpn_head.anchor_generator.strides = [4, 8, 16, 32, 64]
    _, after, lines = start(cfg, path, CELLS)
    new = dict.fromkeys(key.rpartition('.')[0] for key in after if key not in given)
    assert new
    assert lines[3] == f'  new, as the file has no such tensor: {", ".join(new)}'


def test_a_head_without_a_number_of_classes_in_the_config(tmp_path):
    path, _ = write(tmp_path, classifier(), ANIMALS)
    cfg = classifier(2)
    with pytest.raises(UserError, match=r'not those of the training set \(3 classes\).*Set num_classes'):
        initialize(random_model(cfg), cfg, path, ('ant', 'bee', 'fly'))


def test_a_training_set_without_names(tmp_path):
    path, given = write(tmp_path, classifier(), ANIMALS)
    _, after, lines = start(classifier(), path, None)
    assert 'head.fc.weight' not in of_file(after, given)
    assert lines[-1] == '  classes in the file: cat, dog, owl (3); in this run: without names; in both: none'


def test_other_preparation_of_images_is_a_warning(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(init_from, 'report', found.extend)
    trained = {'mean': [1.0, 2.0, 3.0], 'bgr_to_rgb or to_rgb': True}
    trained = {f'model.data_preprocessor.{key}': value for key, value in trained.items()}
    path, _ = write(tmp_path, classifier(), ANIMALS, preprocessing=trained)
    start(classifier(), path, ANIMALS)
    (finding,) = found
    assert (finding.severity, finding.where) == ('warning', 'model.data_preprocessor.mean')
    assert finding.text.startswith(f'{path} was trained with [1.0, 2.0, 3.0], this run has [1')


def test_the_metric_of_the_weights_is_said(tmp_path):
    more = dict(checkpoint=dict(chosen_by='accuracy/top1'), metrics={'accuracy/top1': 93.21, 'loss': 1.0})
    path, _ = write(tmp_path, classifier(), ANIMALS, **more)
    *_, lines = start(classifier(), path, ANIMALS)
    assert lines[0].startswith(f'init from {path} (trained, accuracy/top1 93.210): ')


def test_files_that_are_no_model(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(2))), tmp_path / 'bare.pth')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'notes.txt').write_text('')
    for name, message in {
        'bare.pth': 'holds weights, but no config',
        'empty': 'The folder .*empty has no model.json',
        'notes.txt': r"expected a model file \(.json or .safetensors\) or a checkpoint \(.pth\), got '.txt'",
        'nowhere': 'There is no model file .*nowhere',
    }.items():
        with pytest.raises(UserError, match=message):
            initialize_model(Config(), str(tmp_path / name))


def test_a_folder_becomes_its_file_in_the_config(tmp_path):
    path, _ = write(tmp_path, classifier(), ANIMALS)
    for cfg, argument in ((Config(), path), (Config(dict(init_from=path)), None)):
        initialize_model(cfg, argument)
        assert cfg.init_from == str(tmp_path / 'model.json')
    cfg = Config()
    initialize_model(cfg, None)
    assert 'init_from' not in cfg


@pytest.mark.parametrize('key', ['backbone_from', 'load_from'])
def test_a_start_from_two_models_is_refused(tmp_path, key):
    path, _ = write(tmp_path, classifier(), ANIMALS)
    with pytest.raises(
        UserError, match=rf'--init-from\) and {key}=x.pth.*: a training starts from one model'
    ):
        initialize_model(Config({key: 'x.pth'}), path)
    # A resumed run loads from its own checkpoint.
    initialize_model(Config(dict(load_from='x.pth', resume=True)), path)


# ---- the tool, on a few pictures


@pytest.fixture(scope='module')
def folders(tmp_path_factory) -> dict[str, Path]:
    """Pictures of three classes and of two others."""
    root = tmp_path_factory.mktemp('pictures')
    return {
        'three': write_image_folder(root / 'three', ANIMALS, count=2),
        'two': write_image_folder(root / 'two', CELLS, count=2),
    }


def run(data: Path, work_dir: Path, *options: str, **more) -> None:
    """One epoch of tools/train.py on the pictures, which changes no weight."""
    defaults = dict(
        config=f'{ROOT}/configs/image_folder/resnet18.py', work_dir=str(work_dir), device='cpu',
        launcher='none', threads=1, workers=0, allow_partial=False, debug=False, amp=None, ema=None,
        backbone_from=None, init_from=None, auto_scale_lr=False, dry_run=False, seed=None, resume=None,
        cfg_options=[
            f'data_root={data}', 'model.backbone.base_channels=8', 'model.backbone.stage_blocks=[1,1,1,1]',
            'train_dataloader.batch_size=4', 'train_dataloader.dataset.pipeline.1.scale=32',
            'val_dataloader.dataset.pipeline.1.scale=36', 'val_dataloader.dataset.pipeline.2.crop_size=32',
            'optim_wrapper.optimizer.lr=0.0', 'train_cfg.max_epochs=1', 'param_scheduler=[]',
            f'experiment_name={work_dir.parent.name}_{work_dir.name}', *options,
        ],
    )  # fmt: skip
    training.train(argparse.Namespace(**(defaults | more)))


def parameters(file: Path) -> dict[str, torch.Tensor]:
    state_dict = read_checkpoint(str(file))['state_dict']
    return {
        key: value for key, value in state_dict.items() if not key.endswith(('_mean', '_var', '_tracked'))
    }


def test_a_run_goes_on_from_the_work_dir_of_another(folders, tmp_path, capsys, monkeypatch):
    run(folders['three'], tmp_path / 'first')
    given = parameters(tmp_path / 'first' / 'epoch_1.pth')
    # Random too, so that it shows what was taken: other seeds, other weights.
    again = dict(init_from=str(tmp_path / 'first'), seed=5)
    run(folders['two'], tmp_path / 'second', ema=0.5, **again)
    said = capsys.readouterr().out
    assert f'init from {tmp_path}/first/model.json (first, accuracy/top1 ' in said
    assert 'classes in the file: cat, dog, owl (3); in this run: RBC, WBC (2); in both: none' in said
    checkpoint = read_checkpoint(str(tmp_path / 'second' / 'epoch_1.pth'))
    after = parameters(tmp_path / 'second' / 'epoch_1.pth')
    trained = {key.removeprefix('module.'): v for key, v in checkpoint['ema_state_dict'].items()}
    shared = [key for key in after if not key.startswith('head.')]
    assert len(shared) == len(after) - 2
    for key in shared:  # averaged weights, and those that are averaged
        assert torch.equal(after[key], given[key]), key
        assert torch.equal(trained[key], given[key]), key
    assert after['head.fc.weight'].shape[0] == 2

    dumped = (tmp_path / 'second' / 'resnet18.py').read_text()
    assert f"init_from = '{tmp_path}/first/model.json'" in dumped
    assert json.loads((tmp_path / 'second' / 'model.json').read_text())['classes'] == list(CELLS)

    # A checkpoint says the same, and how its images were prepared.
    found, cfg = [], classifier(2)
    monkeypatch.setattr(init_from, 'report', found.extend)
    cfg.data_preprocessor.mean = [1.0, 2.0, 3.0]
    _, state_dict, lines = start(cfg, str(tmp_path / 'first' / 'epoch_1.pth'), CELLS)
    assert lines[0].startswith(f'init from {tmp_path}/first/epoch_1.pth (first): ')
    assert set(shared) <= of_file(state_dict, given)
    assert [finding.where for finding in found] == ['model.data_preprocessor.mean']
    capsys.readouterr()

    # Resumed, it is not read again: it may be gone.
    (tmp_path / 'first' / 'model.json').unlink()
    key = f'init_from={tmp_path}/first/model.json'
    run(folders['two'], tmp_path / 'second', key, 'train_cfg.max_epochs=2', ema=0.5, resume='auto')
    said = capsys.readouterr().out
    assert (tmp_path / 'second' / 'epoch_2.pth').is_file()
    assert 'init from' not in said


def test_the_folder_of_this_run_is_refused(folders, tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    write(work_dir, classifier(), ANIMALS)
    with pytest.raises(UserError, match=r'init_from=.*model.json is in the work directory of this run'):
        run(folders['two'], work_dir, init_from=str(work_dir))


def test_a_start_that_resumes_is_refused(folders, tmp_path):
    with pytest.raises(UserError, match='--init-from starts a run, --resume continues one'):
        run(folders['two'], tmp_path / 'run', init_from='x.pth', resume='auto')
    assert not (tmp_path / 'run').exists()


def test_a_dry_run_starts_from_it_and_resumes_without_it(folders, tmp_path, capsys):
    other = {'model.data_preprocessor.mean': [1.0, 2.0, 3.0]}
    path, _ = write(tmp_path, classifier(), ANIMALS, preprocessing=other)
    run(folders['two'], tmp_path / 'dry', init_from=path, dry_run=True)
    said = ''.join(capsys.readouterr())
    assert said.count('init from') == 1
    assert said.count('model.data_preprocessor.mean: ') == 1
    assert 'dry run passed' in said
