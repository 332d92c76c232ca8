"""Every config parses, says what it is, builds, and fits together."""

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mdvision
from mdvision.config.fill import fill_config
from mdvision.config.overrides import apply_overrides
from mdvision.console import import_upstream
from mdvision.meta_device import meta_device
from tests.config_names import CONFIGS, DATA_SETS, ROOT, ConfigName, read_name
from tests.data_sets import write_image_folder

# The number of classes of each data set for classification.
NUM_CLASSES = dict(
    caltech101=102,
    cifar10=10,
    cifar100=100,
    cifar10_jpeg=10,
    emnist=10,
    fashion_mnist=10,
    image_folder=2,
    imagenet=1000,
    mini_imagenet=100,
    mnist=10,
)
SMALL_IMAGES = ('cifar10', 'cifar100', 'cifar10_jpeg', 'emnist', 'fashion_mnist', 'mnist')
# What fits a model of small images to large ones, and the other way round: arguments of its backbone.
FITTED = {
    'mdvision.AttentionResNet': (dict(stem='cifar'), dict(stem='imagenet')),
    'mdvision.MDNet': ({}, dict(stem='imagenet')),
    'mdvision.DEMSViT': ({}, dict(image_size=256, patch_size=16)),
}
# What makes a model small enough for a CPU.
NARROWED = ('base_channels', 'stage_blocks', 'gate_reduction', 'groups', 'patch_size', 'drop_path_rate')
# What a setting changes of a named model, and which size a network without one has: arguments of the
# backbone and of the neck.
_PLAIN_LOGITS = dict(activation_out=False, unused_norm=False)
_CORRECTED = dict(mlp_activation_out=False, key_bias=False, unused_norm=False)
_AS_IN_THE_PAPER = dict(layer_index_start=1, head_norm=True)
_AT_224 = dict(
    image_size=224,
    patch_size=16,
    in_channels=3,
    embed_dim=192,
    hidden_dim=768,
    depth=12,
    num_heads=3,
    drop_rate=0.0,
)
_NECK_AT_224 = dict(_PLAIN_LOGITS, hidden_channels=768, drop_rate=0.0)
SETTINGS = {
    ('vit_nano', 'imagenet'): (_AT_224 | _CORRECTED, _NECK_AT_224),
    ('diff_vit_nano', 'imagenet'): (_AT_224 | _CORRECTED | _AS_IN_THE_PAPER, _NECK_AT_224),
    ('vit_nano_cifar', 'balanced'): (dict(embed_dim=330), {}),
    ('vit_nano', 'corrected'): (_CORRECTED, _PLAIN_LOGITS),
    ('vit_nano_balanced', 'corrected'): (_CORRECTED, _PLAIN_LOGITS),
    ('diff_vit_nano_legacy', 'corrected'): (_CORRECTED | _AS_IN_THE_PAPER, _PLAIN_LOGITS),
    ('diff_vit_nano', 'best'): (
        dict(
            patch_size=4,
            hidden_dim=48,
            depth=3,
            drop_rate=0.0,
            mlp_activation_out=False,
            unused_norm=False,
            **_AS_IN_THE_PAPER,
        ),
        dict(_PLAIN_LOGITS, hidden_channels=32, drop_rate=0.0),
    ),
}

# What the authors say, or we chose where they do not: optimiser, rate, weight decay, batch, epochs.
RECIPES = (
    (r'(emanet|attention|lma)/.*_cifar10(_jpeg)?', ('SGD', 0.1, 5e-4, 120, 200)),
    (r'emanet/.*_mini_imagenet', ('SGD', 0.1, 1e-4, 32, 120)),
    (r'(lma/(lma_)?mobilenet_v2|mdnet/mdnet)_imagenet', ('SGD', 0.045, 4e-5, 256, 300)),
    (r'(emanet|attention|lma)/.*\d_imagenet', ('SGD', 0.1, 1e-4, 256, 100)),
    (r'mdnet/.*_cifar10(0|_jpeg)?', ('AdamW', 1e-3, 0.05, 128, 200)),
    (r'diff_vit/.*_p4_.*fashion_mnist', ('AdamW', 3e-4, 0.1, 256, 30)),
    (r'diff_vit/.*_p4_.*mnist', ('AdamW', 3e-4, 0.1, 256, 10)),
    (r'diff_vit/.*_fashion_mnist', ('AdamW', 3e-4, 0.1, 128, 30)),
    (r'diff_vit/.*_best_mnist', ('AdamW', 3e-3, 0.05, 128, 20)),
    (r'diff_vit/.*_mnist', ('AdamW', 3e-4, 0.1, 128, 20)),
    (r'diff_vit/.*_cifar10(_jpeg)?', ('AdamW', 3e-4, 0.1, 128, 50)),
    (r'diff_vit/(diff_)?vit_imagenet', ('AdamW', 2.5e-4, 0.05, 256, 300)),
    (r'dems_vit/.*_finetune_.*', ('AdamW', 1e-3, 0.05, 256, 100)),
    (r'dems_vit/.*_imagenet', ('AdamW', 5e-4, 0.05, 256, 300)),
    (r'dems_vit/.*', ('AdamW', 5e-4, 0.05, 256, 800)),
    (r'image_folder/.*', ('SGD', 0.0125, 1e-4, 32, 50)),
)

# Mean and deviation of each channel, of pixels from 0 to 1; MDNet has its own for CIFAR-100.
_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
STATISTICS = {
    'MNIST': ((0.1307,), (0.3081,)),
    'FashionMNIST': ((0.5,), (0.5,)),
    'CIFAR10': _CIFAR,
    'CIFAR10JPEG': _CIFAR,
    'CIFAR100': ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
    'ImageNet': _IMAGENET,
    'MiniImageNet': _IMAGENET,
    'ImageFolder': _IMAGENET,
}

# What is done to a training image, from loading to packing.
_LARGE = ['LoadImageFromFile', 'RandomResizedCrop', 'RandomFlip']
AUGMENTATIONS = (
    (r'(emanet|attention|lma)/.*_cifar10(_jpeg)?', ['RandomCrop', 'RandomFlip']),
    (
        r'mdnet/.*_cifar10(0|_jpeg)?',
        ['RandomCrop', 'RandomFlip', 'NumpyToPIL', 'torchvision/RandomRotation', 'PILToNumpy'],
    ),
    (
        r'diff_vit/.*_cifar10(_jpeg)?',
        ['RandomFlip', 'NumpyToPIL', 'torchvision/RandAugment', 'PILToNumpy', 'RandomCrop'],
    ),
    (r'diff_vit/.*_best_mnist', ['RandomCrop']),
    (r'diff_vit/.*mnist', []),
    (r'.*imagenet|image_folder/.*', _LARGE),
)


@functools.cache
def parsed(name: str) -> Config:
    """A config as its file says, which no test may change."""
    return Config.fromfile(ROOT / name)


@functools.cache
def filled(name: str) -> Config:
    """A config as a run fills it, which no test may change; an image folder has two classes."""
    cfg = copy.deepcopy(parsed(name))
    if name.startswith('configs/image_folder/'):
        cfg.train_dataloader.dataset.classes = ('cat', 'dog')
    fill_config(cfg)
    return cfg


def in_scope(name: str) -> Config:
    """The filled config, with the registries of its host in place."""
    scope = parsed(name).default_scope
    import_upstream(scope)
    init_default_scope(scope)
    return filled(name)


def of_scope(scope: str) -> list[str]:
    return [name for name in CONFIGS if parsed(name).default_scope == scope]


CLASSIFIERS, DETECTORS = of_scope('mmpretrain'), of_scope('mmdet')
SHORT = [name for name in CLASSIFIERS if name.endswith('_cpu.py')]


@pytest.fixture(params=CONFIGS)
def config(request):
    return in_scope(request.param)


@pytest.fixture(params=DETECTORS)
def detector(request):
    return in_scope(request.param)


@pytest.fixture(params=CLASSIFIERS)
def classifier(request):
    return in_scope(request.param)


@pytest.fixture(params=[name for name in CLASSIFIERS if name not in SHORT])
def full_classifier(request):
    return in_scope(request.param)


def short_name(cfg: Config) -> str:
    """``family/name`` of a config file."""
    return Path(cfg.filename).relative_to(ROOT / 'configs').with_suffix('').as_posix()


def name_of(cfg: Config) -> ConfigName:
    return read_name(Path(cfg.filename).relative_to(ROOT).as_posix())


def data_set_of(cfg: Config) -> tuple[str, int]:
    """Its class and its number of classes."""
    key = name_of(cfg).data_set
    return DATA_SETS[key], NUM_CLASSES[key]


def named_model(cfg: Config) -> tuple[str, dict, dict]:
    """The named model that a config must have, with other arguments of its backbone and of its neck."""
    name, own = name_of(cfg), cfg.model.backbone
    backbone, neck = SETTINGS.get((name.model, name.setting or name.data_set), ({}, {}))
    small = name.data_set in SMALL_IMAGES
    if small != (mdvision.find_model(name.model).image[1] <= 32) and own.type in FITTED:
        backbone = backbone | FITTED[own.type][not small]
    if name.cpu:
        backbone = backbone | {key: own[key] for key in NARROWED if key in own}
    return name.model, backbone, neck


def parts_of(data_set: dict) -> list[dict]:
    """The data sets below wrappers that repeat or join them."""
    if 'datasets' in data_set:
        return [part for one in data_set['datasets'] for part in parts_of(one)]
    return parts_of(data_set['dataset']) if 'dataset' in data_set else [data_set]


def loaders_of(cfg: Config) -> list[dict]:
    return [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]


# ---- both tasks


def test_there_are_configs():
    assert 'configs/emanet/faster_rcnn_voc.py' in DETECTORS
    assert 'configs/emanet/emanet50_cifar10.py' in CLASSIFIERS
    assert sorted(CLASSIFIERS + DETECTORS) == CONFIGS


def test_no_config_names_a_host_for_weights(config):
    text = str(config.to_dict())
    assert all(host not in text for host in ('http', 'torchvision://', 'open-mmlab'))


def test_the_learning_rate_is_given_for_the_batch_of_the_config(config):
    # A short one for a CPU scales the rate of the full recipe to its smaller batch.
    full = parsed(f'configs/{short_name(config).replace("_jpeg_cpu", "_jpeg")}.py')
    assert config.auto_scale_lr.base_batch_size == full.train_dataloader.batch_size


def test_the_best_checkpoint_is_chosen_by_a_number_that_is_measured(config):
    wanted = dict(mmpretrain='accuracy/top1', mmdet='voc12/mAP50')[config.default_scope]
    wanted = 'coco/mAP' if 'coco' in Path(config.filename).stem else wanted
    assert config.default_hooks.checkpoint.save_best == wanted
    metrics = config.val_evaluator if isinstance(config.val_evaluator, list) else [config.val_evaluator]
    kinds = [metric.type for metric in metrics]
    assert dict(mmpretrain='Accuracy', mmdet='mdvision.DetectionMetric')[config.default_scope] in kinds
    assert config.test_evaluator == config.val_evaluator


def test_training_ends_with_the_schedule(config):
    """Every change of the rate comes before the end, and a classifier's cosine ends with it."""
    epochs = config.train_cfg.max_epochs
    for scheduler in config.param_scheduler:
        if not scheduler.get('by_epoch', True):
            continue
        assert scheduler.get('begin', 0) < epochs
        assert scheduler.get('end', 0) <= epochs
        assert all(milestone < epochs for milestone in scheduler.get('milestones', []))
        assert scheduler.get('step_size', 0) < epochs
        if (
            config.default_scope == 'mmpretrain' and 'T_max' in scheduler
        ):  # the detector's cosine stops before
            assert scheduler.get('end', scheduler.get('begin', 0) + scheduler.T_max) == epochs


# ---- classification


def test_a_classifier_is_the_named_model(classifier):
    from mmpretrain.registry import MODELS as HOST_MODELS

    name, backbone, neck = named_model(classifier)
    expected = mdvision.classifier_config(name, num_classes=data_set_of(classifier)[1], **backbone)
    if neck:
        expected['neck'].update(neck)
    with meta_device():
        ours, named = HOST_MODELS.build(classifier.model), HOST_MODELS.build(expected)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in named.state_dict().items()}
    if short_name(classifier).startswith('dems_vit/'):
        return  # whose rates of dropout differ between pre-training and fine-tuning
    assert repr(ours.backbone) == repr(named.backbone)
    assert repr(ours.neck if ours.with_neck else None) == repr(named.neck if named.with_neck else None)
    assert classifier.model.head.get('init_cfg', 'none given') == expected['head'].get(
        'init_cfg', 'none given'
    )


def test_a_classifier_and_its_data_agree(classifier):
    from mmpretrain.registry import DATASETS

    kind, num_classes = data_set_of(classifier)
    model, preprocessor = classifier.model, classifier.data_preprocessor
    assert 'data_preprocessor' not in model
    assert (model.neck if model.head.type == 'ClsHead' else model.head).num_classes == num_classes
    assert preprocessor.num_classes == num_classes
    channels = model.backbone.get('in_channels', 3)
    assert len(preprocessor.mean) == len(preprocessor['std']) == channels
    # In units of the pixels, 0 to 255.
    assert all(60 < value < 140 or kind == 'MNIST' for value in preprocessor.mean)
    assert all(45 < value < 130 for value in preprocessor['std'])
    splits = []
    for loader in loaders_of(classifier):
        (data_set,) = parts_of(loader.dataset)
        assert data_set.type == f'mdvision.{kind}'
        cls = DATASETS.get(data_set.type)
        known = cls.METAINFO.get('classes') or range(getattr(cls, 'num_classes', num_classes))
        assert len(known) == num_classes
        splits.append(data_set.split)
        assert data_set.pipeline[-1].type == 'PackInputs'
        # Files are BGR when they are loaded, arrays RGB or grey.
        assert (data_set.pipeline[0].type == 'LoadImageFromFile') == preprocessor.get('to_rgb', False)
    assert splits[0] == 'train'
    assert splits[1] == splits[2] != 'train'
    assert not classifier.val_dataloader.sampler.shuffle


def test_a_classifier_is_tested_on_unchanged_images(classifier):
    for loader in loaders_of(classifier)[1:]:
        (data_set,) = parts_of(loader.dataset)
        for transform in data_set.pipeline:
            assert transform.type in (
                'LoadImageFromFile',
                'Resize',
                'ResizeEdge',
                'CenterCrop',
                'Pad',
                'PackInputs',
            )


def test_a_classifier_has_its_published_recipe(full_classifier):
    short = short_name(full_classifier)
    recipe = next(recipe for pattern, recipe in RECIPES if re.fullmatch(pattern, short))
    optimizer = full_classifier.optim_wrapper.optimizer
    found = (
        optimizer.type,
        optimizer.lr,
        optimizer.weight_decay,
        full_classifier.train_dataloader.batch_size,
        full_classifier.train_cfg.max_epochs,
    )
    assert found == recipe
    # The authors of the nano ViT do not shuffle; all others do.
    theirs = short.startswith('diff_vit/') and not short.endswith(('imagenet', 'best_mnist'))
    assert full_classifier.train_dataloader.sampler.shuffle != theirs


def test_a_classifier_sees_the_images_of_its_publication(full_classifier):
    short, kind = short_name(full_classifier), data_set_of(full_classifier)[0]
    if short.startswith('dems_vit/'):
        return  # tested with its augmentation
    for ours, theirs in zip(('mean', 'std'), STATISTICS[kind], strict=True):
        assert full_classifier.data_preprocessor[ours] == pytest.approx([255 * v for v in theirs], rel=1e-6)
    (part,) = parts_of(full_classifier.train_dataloader.dataset)
    expected = next(types for pattern, types in AUGMENTATIONS if re.fullmatch(pattern, short))
    assert [transform.type for transform in part.pipeline] == [*expected, 'PackInputs']
    nano = short.startswith('diff_vit/') and 'imagenet' not in short
    assert (part.get('holdout', 0), part.get('holdout_seed')) == ((5000, 42) if nano else (0, None))
    twice = short.startswith('mdnet/') and 'imagenet' not in short
    assert full_classifier.train_dataloader.dataset.get('times', 1) == (2 if twice else 1)


@pytest.mark.parametrize('name', SHORT)
def test_a_short_training_differs_from_the_full_one_in_what_makes_it_short(name):
    """Five epochs over the same 5,000 images with the same optimiser, for every family alike."""
    short, full = parsed(name), parsed(name.replace('_cpu.py', '.py'))
    (part,) = parts_of(short.train_dataloader.dataset)
    assert (part.holdout, short.train_dataloader.batch_size, short.train_cfg.max_epochs) == (45_000, 50, 5)
    assert short.train_dataloader.sampler.shuffle
    assert short.train_dataloader.dataset.get('times', 1) == 1
    assert short.optim_wrapper == full.optim_wrapper
    assert short.val_dataloader == full.val_dataloader
    assert short.data_preprocessor == full.data_preprocessor


def test_the_image_folder_config_needs_nothing_but_the_folder(tmp_path):
    folder = write_image_folder(tmp_path / 'my pictures', ('ant', 'bee', 'cow', 'dog'), count=1)
    (folder / 'train' / '.hidden').mkdir()
    cfg = Config.fromfile(ROOT / 'configs/image_folder/resnet18.py')
    apply_overrides(cfg, [f'data_root={folder}'])
    fill_config(cfg)
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 4
    for loader in loaders_of(cfg):
        assert loader.dataset.data_root == str(folder)
    assert str(folder) in cfg.pretty_text  # which a run writes into its work dir


# ---- detection


def test_a_detector_builds_and_its_neck_fits_the_backbone(detector):
    from mmdet.registry import MODELS as HOST_MODELS

    with meta_device():
        model = HOST_MODELS.build(detector.model)
    if not detector.model.get('neck'):
        return
    strides = list(model.backbone.out_strides)
    if detector.model.neck.type == 'FPN':
        assert model.neck.in_channels == list(model.backbone.out_channels)
        strides = strides[detector.model.neck.get('start_level', 0) :]
    else:
        strides = [4, 8, 16, 32]
    two_stage = hasattr(model, 'rpn_head')
    head = model.rpn_head if two_stage else model.bbox_head
    assert [stride[0] for stride in head.prior_generator.strides][: len(strides)] == strides
    if two_stage:
        assert model.roi_head.bbox_roi_extractor.featmap_strides == strides


def test_a_detector_is_trained_and_evaluated_on_the_classes_of_its_model(detector):
    head = detector.model.get('bbox_head') or detector.model.roi_head.bbox_head
    for loader in loaders_of(detector):
        for data_set in parts_of(loader.dataset):
            if data_set.type == 'CocoDataset':
                from mmdet.datasets import CocoDataset

                assert head.num_classes == len(CocoDataset.METAINFO['classes'])
            else:
                assert head.num_classes == len(detector.classes)
                assert tuple(data_set.metainfo.classes) == tuple(detector.classes)


def test_every_backbone_with_maps_and_every_attention_has_a_detector_on_voc():
    from mdvision.models import attention, backbones

    models = [parsed(name).model.backbone for name in DETECTORS if name.endswith('_voc.py')]
    # DEMSViT gives class tokens; DEMSViTPyramid is its form with maps.
    wanted = {getattr(backbones, name) for name in backbones.__all__}  # some have two names
    wanted -= {backbones.Backbone, backbones.DEMSViT}
    assert {getattr(mdvision, model.type.removeprefix('mdvision.')) for model in models} == wanted
    text = str([dict(model) for model in models])
    # MultiScaleAttention is what EMANet is made of.
    assert all(name in text for name in set(attention.__all__) - {'MultiScaleAttention'})


@pytest.mark.parametrize(
    'name, parameters',
    [
        ('attention/se_resnet50', 30_984_927),
        ('attention/resnet50', 28_469_983),
        ('attention/fca_resnet50', 30_984_927),
        ('attention/eca_resnet50', 28_470_063),
    ],
)
def test_a_c4_detector_has_the_parameters_of_its_published_row(name, parameters):
    """As counted from the publication's architecture; EMANet's own is a golden fixture."""
    from mmdet.registry import MODELS as HOST

    cfg = in_scope(f'configs/{name}_faster_rcnn_c4_voc.py')
    with meta_device():
        model = HOST.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_c4_detector_trains_a_step_and_predicts():
    """Narrow, on two small images: every part takes part, and gives boxes in the image."""
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    cfg = copy.deepcopy(in_scope('configs/emanet/faster_rcnn_c4_voc.py').model)
    narrow = dict(base_channels=16, stage_blocks=(1, 1, 1, 1), gate_reduction=4, groups=(1, 2, 4, 4))
    cfg.backbone.update(narrow)
    cfg.roi_head.shared_head.backbone.update(narrow)
    cfg.rpn_head.feat_channels = 32
    model = MODELS.build(cfg)
    model.init_weights()
    samples = []
    for index in range(2):
        sample = DetDataSample(
            metainfo=dict(img_id=index, img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 72, 72]]), labels=torch.tensor([3]))
        samples.append(sample)
    images = [torch.randint(0, 255, (3, 96, 128), dtype=torch.uint8) for _ in samples]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    losses = model.loss(batch['inputs'], batch['data_samples'])
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    model.eval()
    with torch.no_grad():
        for found in model.predict(batch['inputs'], batch['data_samples']):
            boxes = found.pred_instances.bboxes
            assert ((boxes >= 0) & (boxes <= torch.tensor([128, 96, 128, 96]))).all()


@pytest.mark.fault('N11')
def test_the_lines_for_small_pictures_in_the_folder_config_fit_it(tmp_path):
    """Those of its text, as they stand there, build a pipeline of 32 pixels and a model for them."""
    path = ROOT / 'configs/image_folder/resnet18.py'
    text = ast.get_docstring(ast.parse(path.read_text()))
    options = re.search(r'--cfg-options (model\.backbone\.stem.*?)(\n\n|$)', text, re.DOTALL)[1].split()
    cfg = Config.fromfile(path)
    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')
    apply_overrides(cfg, options)
    assert cfg.model.backbone.stem == 'cifar'
    for split, size in (('train', 32), ('val', 32), ('test', 32)):
        sizes = [
            t.get('crop_size') or t.scale
            for t in cfg[f'{split}_dataloader'].dataset.pipeline
            if 'Crop' in t.type
        ]
        assert sizes == [size], split
    assert cfg.val_dataloader.dataset.pipeline[1].scale == 36
