"""Caltech-101, ImageNet and mini-ImageNet, and the config fragment of every data set."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mdvision
from mdvision import Caltech101, ImageNet, MiniImageNet, UserError
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream

FRAGMENTS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
NOT_FOR_CLASSIFIERS = ('coco', 'voc0712', 'detection_pipelines', 'smoothed_loss')
NAMES = [path.stem for path in sorted(FRAGMENTS.glob('*.py')) if path.stem not in NOT_FOR_CLASSIFIERS]


@pytest.fixture(autouse=True)
def host():
    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def paths(dataset) -> list[str]:
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


# --- Caltech-101


@pytest.fixture
def caltech(tmp_path):
    for name in Caltech101.METAINFO['classes']:
        for index in range(5):
            touch(tmp_path / '101_ObjectCategories' / name / f'image_{index:04}.jpg')
    return tmp_path


def test_caltech_random_split_is_fixed_and_complete(caltech):
    build = {s: Caltech101(str(caltech), split=s, train_per_class=3) for s in ('train', 'test')}
    assert [len(build['train']), len(build['test'])] == [306, 204]
    assert np.bincount(build['train'].get_gt_labels()).tolist() == [3] * 102
    assert not set(paths(build['train'])) & set(paths(build['test']))
    assert paths(Caltech101(str(caltech), train_per_class=3)) == paths(build['train'])
    assert paths(Caltech101(str(caltech), train_per_class=3, split_seed=1)) != paths(build['train'])
    first = build['test'].get_data_info(2)
    assert first['gt_label'] == 1 and '/Faces/' in first['img_path']
    assert build['test'].test_mode


def test_caltech_split_files(caltech):
    with pytest.raises(UserError, match=r'no official split, and .*meta/train\.txt is missing'):
        Caltech101(str(caltech))
    (caltech / 'meta').mkdir()
    (caltech / 'meta/train.txt').write_text('Faces/image_0002.jpg 1\nLeopards/image_0000.jpg 3\n')
    dataset = Caltech101(str(caltech))
    assert dataset.get_gt_labels().tolist() == [1, 3]
    assert paths(dataset)[0] == f'{caltech}/101_ObjectCategories/Faces/image_0002.jpg'
    (caltech / 'meta/train.txt').write_text('Faces/image_0009.jpg 1\n')
    with pytest.raises(UserError, match=r'1 of 1 images .* are not in .*: Faces/image_0009\.jpg'):
        Caltech101(str(caltech))


def test_caltech_faults(caltech, tmp_path):
    with pytest.raises(UserError, match='CaltechDATA'):
        Caltech101(str(tmp_path / 'none'), train_per_class=3)
    with pytest.raises(UserError, match=r'train_per_class=5, but .*BACKGROUND_Google has 5 images'):
        Caltech101(str(caltech), train_per_class=5)
    (caltech / '101_ObjectCategories/Faces').rename(caltech / '101_ObjectCategories/faces')
    with pytest.raises(UserError, match=r"no folder for 'Faces'(.|\n)*a folder 'faces'"):
        Caltech101(str(caltech), train_per_class=3)


# --- ImageNet


@pytest.fixture
def imagenet(tmp_path):
    for split, count in (('train', 2), ('val', 1)):
        for number in range(1000):
            for index in range(count):
                touch(tmp_path / split / f'n{number:08}' / f'{index}.JPEG')
    (tmp_path / 'train/.cache').mkdir()
    return tmp_path


def test_imagenet_folders(imagenet):
    train, val = ImageNet(str(imagenet)), ImageNet(str(imagenet), split='val')
    assert train.get_gt_labels().tolist() == np.repeat(range(1000), 2).tolist()
    assert val.get_gt_labels().tolist() == list(range(1000))
    assert paths(val)[7] == f'{imagenet}/val/n00000007/0.JPEG'
    assert len(val.metainfo['classes']) == 1000 and val.test_mode and not train.test_mode


def test_imagenet_faults(imagenet, tmp_path):
    with pytest.raises(UserError, match=r'image-net\.org'):
        ImageNet(str(tmp_path / 'none'))
    with pytest.raises(UserError, match='expected split one of'):
        ImageNet(str(imagenet), split='test')
    (imagenet / 'val/n00000007/0.JPEG').unlink()
    with pytest.raises(UserError, match=r'without images in .*: n00000007'):
        ImageNet(str(imagenet), split='val')
    (imagenet / 'val/n00000007').rename(imagenet / 'val/other')
    with pytest.raises(UserError, match=r"no folder for 'n00000007'(.|\n)*a folder 'other'"):
        ImageNet(str(imagenet), split='val')
    (imagenet / 'val/other').rmdir()
    with pytest.raises(UserError, match=r'expected 1000 class folders in .*val, found 999'):
        ImageNet(str(imagenet), split='val')


def test_imagenet_annotation_file(tmp_path):
    for name in ('a.JPEG', 'b.JPEG'):
        touch(tmp_path / 'val' / name)
    with pytest.raises(UserError, match=r'no class folders(.|\n)*meta/val\.txt'):
        ImageNet(str(tmp_path), split='val')
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/val.txt').write_text('b.JPEG 999\na.JPEG 65\n')
    dataset = ImageNet(str(tmp_path), split='val')
    assert dataset.get_gt_labels().tolist() == [999, 65]
    assert paths(dataset)[0] == f'{tmp_path}/val/b.JPEG'
    (tmp_path / 'meta/val.txt').write_text('b.JPEG 1000\n')
    with pytest.raises(UserError, match=r'val\.txt, line 1'):
        ImageNet(str(tmp_path), split='val')


# --- mini-ImageNet


@pytest.fixture
def mini(tmp_path):
    """Ten images of a hundred classes, in tables of 64, 16 and 20 classes that begin with the last ones."""
    classes = [f'n{number:08}' for number in reversed(range(100))]
    for name, part in zip(MiniImageNet.tables, (classes[:64], classes[64:80], classes[80:]), strict=True):
        rows = [f'{label}{index:08}.jpg,{label}' for label in part for index in range(10)]
        (tmp_path / name).write_text('filename,label\n' + '\n'.join(rows) + '\n')
        for row in rows:
            touch(tmp_path / 'images' / row.split(',')[0])
    return tmp_path


def test_mini_imagenet_split_is_that_of_pandas_sample(mini):
    train, val = MiniImageNet(str(mini)), MiniImageNet(str(mini), split='val')
    assert train.metainfo['classes'] == tuple(f'n{number:08}' for number in range(100))
    assert np.bincount(train.get_gt_labels()).tolist() == [8] * 100
    assert np.bincount(val.get_gt_labels()).tolist() == [2] * 100
    # pandas.Series(range(10)).sample(frac=1, random_state=1) has this order.
    order = [2, 9, 6, 4, 0, 3, 1, 7, 8, 5]
    for label in (0, 37, 99):
        files = [f'{mini}/images/n{label:08}{index:08}.jpg' for index in order]
        assert paths(train)[8 * label : 8 * label + 8] == files[:8]
        assert paths(val)[2 * label : 2 * label + 2] == files[8:]
    # The same draw by the route that pandas takes.
    drawn = np.random.RandomState(1).choice(600, size=600, replace=False)
    assert (drawn == np.random.RandomState(1).permutation(600)).all()


def test_mini_imagenet_faults(mini, tmp_path):
    with pytest.raises(UserError, match=r'expected: train\.csv, val\.csv, test\.csv, images/'):
        MiniImageNet(str(tmp_path / 'none'))
    with pytest.raises(UserError, match='expected split one of'):
        MiniImageNet(str(mini), split='test')
    (mini / 'images/n0000000500000003.jpg').unlink()
    with pytest.raises(UserError, match=r'1 of 1000 images .*: n0000000500000003\.jpg'):
        MiniImageNet(str(mini))
    text = (mini / 'val.csv').read_text()
    (mini / 'val.csv').write_text(text + text.splitlines()[1] + '\n')
    with pytest.raises(UserError, match='listed more than once'):
        MiniImageNet(str(mini))
    (mini / 'val.csv').write_text(text + 'x.jpg,\n')
    with pytest.raises(UserError, match=r'val\.csv, line 162'):
        MiniImageNet(str(mini))
    (mini / 'val.csv').write_text('filename,label\n')
    with pytest.raises(UserError, match=r'expected 100 classes .* found 84'):
        MiniImageNet(str(mini))
    (mini / 'val.csv').write_text('name,class\n')
    with pytest.raises(UserError, match='expected the columns filename,label'):
        MiniImageNet(str(mini))


# --- the registry and the fragments


def test_they_build_in_a_config(caltech, imagenet, mini):
    from mmpretrain.registry import DATASETS

    for kind, more in ((Caltech101, dict(train_per_class=3)), (ImageNet, {}), (MiniImageNet, {})):
        dataset = DATASETS.build(dict(type=f'mdvision.{kind.__name__}', data_root=str(mini), **more))
        assert type(dataset) is kind


def test_there_is_a_fragment_for_every_data_set():
    assert NAMES == [
        'caltech101', 'cifar10', 'cifar100', 'cifar10_jpeg', 'emnist', 'fashion_mnist', 'image_folder',
        'imagenet', 'mini_imagenet', 'mnist',
    ]  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_a_fragment_fits_its_data_set(name):
    from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS

    cfg = Config.fromfile(FRAGMENTS / f'{name}.py')
    if name == 'image_folder':
        cfg.train_dataloader.dataset.classes = ('cat', 'dog')
    fill_config(cfg)
    preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', **cfg.data_preprocessor))
    kind = getattr(mdvision, cfg.train_dataloader.dataset.type.removeprefix('mdvision.'))
    if name == 'mini_imagenet':
        assert preprocessor.num_classes == kind.num_classes
    elif name != 'image_folder':
        assert preprocessor.num_classes == len(kind.METAINFO['classes'])
    assert cfg.val_evaluator[0].topk == ((1, 5) if preprocessor.num_classes >= 100 else (1,))
    size = 28 if 'mnist' in name else 32 if 'cifar' in name else 224
    channels = 1 if 'mnist' in name else 3
    # A picture of the mean color, in the order of the channels that the loader gives.
    color = np.round(preprocessor.mean.flatten().numpy()).astype(np.uint8)
    if size == 224:
        image = np.tile(color[::-1], (300, 400, 1))
    else:
        image = np.tile(color, (size, size, 1)) if channels == 3 else np.full((size, size), color[0])
    for split in ('train', 'test'):
        loader = cfg[f'{split}_dataloader']
        assert loader.dataset.type == cfg.train_dataloader.dataset.type
        assert loader.dataset.data_root == f'data/{name if name != "image_folder" else "pictures"}'
        steps = [step for step in loader.dataset.pipeline if step.type != 'LoadImageFromFile']
        results = dict(img=image.copy(), gt_label=1)
        for step in steps:
            results = TRANSFORMS.build(step)(results)
        assert results['inputs'].shape == (channels, size, size)
        batch = preprocessor(dict(inputs=results['inputs'][None], data_samples=[results['data_samples']]))
        assert batch['inputs'].shape == (1, channels, size, size)
        if split == 'test':
            assert abs(batch['inputs']).max() < 0.01
        with pytest.raises(UserError, match='no folder data/'):
            DATASETS.build(dict(loader.dataset, data_root='data/absent_folder'))
