"""Data of the hosts' readers: what they drop, shift or crash at is found before they read it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import nn

from mdvision.checks.data import check_data_files
from mdvision.checks.data.images import check_built_images
from mdvision.checks.data.model import check_batches, check_num_classes
from mdvision.checks.data.splits import check_splits
from mdvision.console import import_upstream
from mdvision.models.necks import MLPLogits
from tests.datasets.voc_folder import Folder, item

CELLS = ('red cell', 'weiße Zelle', 'platelet')


def picture(path: Path, number: int = 0, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)


class Coco:
    """A COCO folder: three images, each with an object of each of three classes."""

    def __init__(self, root: Path):
        self.root = root
        self.content = dict(
            images=[dict(id=n, file_name=f'{n}.jpg', width=64, height=48) for n in range(3)],
            categories=[dict(id=10 * n, name=name) for n, name in enumerate(CELLS)],
            annotations=[
                dict(
                    id=n, image_id=n // 3, category_id=10 * (n % 3), bbox=[2, 3, 20, 10], area=200, iscrowd=0
                )
                for n in range(9)
            ],
        )
        for number in range(3):
            picture(root / f'images/{number}.jpg', number)

    def config(self, classes=CELLS, **more) -> Config:
        (self.root / 'cells.json').write_text(json.dumps(self.content), encoding='utf-8')
        dataset = dict(
            type='CocoDataset', data_root=str(self.root), ann_file='cells.json',
            data_prefix=dict(img='images'), metainfo=dict(classes=classes), pipeline=[],
        )  # fmt: skip
        return Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset | more)))

    def built(self, **more):
        import_upstream('mmdet')
        dataset = self.config(**more).train_dataloader.dataset
        return DATASETS.build(dict(dataset, type='mmdet.CocoDataset', serialize_data=False))


@pytest.fixture
def coco(tmp_path) -> Coco:
    import_upstream('mmdet')
    return Coco(tmp_path / 'cells')


def errors(findings) -> str:
    return '\n'.join(str(finding) for finding in findings if finding.severity == 'error')


def warnings(findings) -> str:
    return '\n'.join(str(finding) for finding in findings if finding.severity == 'warning')


def test_a_sound_coco_file_is_summed_up(coco):
    (note,) = check_data_files(coco.config())
    assert note.severity == 'note'
    assert '3 images (0 without objects), 9 objects: red cell 3, weiße Zelle 3, platelet 3' in note.text


@pytest.mark.fault('N1')
def test_a_misspelt_class_of_a_coco_file_does_not_shift_the_labels(coco):
    wrong = ('Red cell', *CELLS[1:])
    built = coco.built(classes=wrong)  # what happens without the check: label 0 is the second class
    assert [i['bbox_label'] for i in built.get_data_info(0)['instances']] == [0, 1]
    text = errors(check_data_files(coco.config(classes=wrong)))
    assert 'classes that are not in the annotation file: every later label would shift (1)' in text
    assert "'Red cell'. Did you mean 'red cell'?" in text
    assert 'cells.json' in text


@pytest.mark.fault('N1')
def test_classes_in_another_order_than_in_the_coco_file(coco):
    turned = CELLS[::-1]
    built = coco.built(classes=turned)
    assert built.metainfo['classes'][built.get_data_info(0)['instances'][0]['bbox_label']] != CELLS[0]
    text = errors(check_data_files(coco.config(classes=turned)))
    assert "label 0 is 'red cell' in the file, 'platelet' in classes" in text


def test_categories_that_are_no_class_are_a_warning(coco):
    findings = check_data_files(coco.config(classes=CELLS[:2]))
    assert errors(findings) == ''
    assert "objects of categories that are not classes are left out: 'platelet' 3" in warnings(findings)


COCO_FAULTS = {
    'unknown category': (
        lambda c: c['annotations'][4].update(category_id=7),
        'annotations[4] (id 4): category_id 7 is not a category of the file',
    ),
    'unknown image': (
        lambda c: c['annotations'][4].update(image_id=9),
        'annotations[4] (id 4): image_id 9 is not an image of the file',
    ),
    'image twice': (lambda c: c['images'][1].update(id=0), 'images[1] (id 0): the id'),
    'file twice': (lambda c: c['images'][1].update(file_name='0.jpg'), 'images: 0.jpg (2x)'),
    'annotation twice': (lambda c: c['annotations'][1].update(id=0), 'annotations[1] (id 0): the id'),
    'name twice': (
        lambda c: c['categories'].append(dict(id=7, name='platelet')),
        "categories: the name 'platelet' (2x)",
    ),
    'no size': (lambda c: c['images'][1].pop('width'), 'images[1] (id 1): expected "width" and "height"'),
    'no file name': (lambda c: c['images'][1].pop('file_name'), 'images[1] (id 1): expected "file_name"'),
    'nan': (
        lambda c: c['annotations'][3].update(bbox=[2, float('nan'), 3, 4]),
        'annotations[3] (id 3): expected "bbox" as [x, y, width, height]',
    ),
    'three numbers': (lambda c: c['annotations'][3].update(bbox=[2, 3, 4]), 'got bbox [2, 3, 4]'),
    'no area': (lambda c: c['annotations'][3].pop('area'), '"area" is missing'),
    'outside': (
        lambda c: c['annotations'][3].update(bbox=[70, 3, 10, 10]),
        'lies entirely outside the 64x48 image',
    ),
    'corners': (
        lambda c: c['annotations'][3].update(bbox=[20, 30, -5, 9]),
        'bbox [20, 30, -5, 9] has a negative width or height',
    ),
    'fractions': (
        lambda c: [a.update(bbox=[0.1, 0.2, 0.5, 0.5]) for a in c['annotations']],
        'boxes in fractions instead of pixels (9)',
    ),
    'no images': (lambda c: c.update(images=[], annotations=[]), 'the list is empty'),
    'no objects': (lambda c: c.update(annotations=[]), 'nothing to learn'),
    'no categories': (lambda c: c.pop('categories'), 'expected a list "categories"'),
}


@pytest.mark.fault('N1')
@pytest.mark.parametrize('name', COCO_FAULTS)
def test_fault_of_a_coco_file_is_an_error_with_its_place(coco, name):
    spoil, expected = COCO_FAULTS[name]
    spoil(coco.content)
    text = errors(check_data_files(coco.config()))
    assert expected in text
    assert 'CocoDataset (train)' in text and 'fix: ' in text


def test_a_coco_file_that_is_no_json_is_named_with_its_line(coco):
    cfg = coco.config()
    (coco.root / 'cells.json').write_text('{"images": [],\n "annotations": [}')
    assert 'cells.json, line 2, column 18: malformed JSON' in errors(check_data_files(cfg))


def test_boxes_that_mmdet_leaves_out_are_named(coco):
    coco.content['annotations'][0]['bbox'] = [2, 3, 0.5, 10]
    coco.content['annotations'][1]['bbox'] = [50, 3, 30, 10]
    coco.content['annotations'][2]['ignore'] = 1
    (left,) = coco.built().get_data_info(0)['instances']
    assert left['bbox'] == [50, 3, 80, 13]
    (note,) = check_data_files(coco.config())
    assert 'left out by MMDetection (1): annotations[0] (id 0)' in note.text
    assert 'which MMDetection clips in training only (1): annotations[1] (id 1)' in note.text
    assert 'objects with "ignore", left out by MMDetection (1): annotations[2] (id 2)' in note.text
    assert '7 objects: red cell 2, weiße Zelle 3, platelet 2' in note.text


@pytest.mark.fault('N15')
def test_a_missing_coco_file_of_ones_own_is_not_sought_at_cocos(coco):
    cfg = coco.config()
    cfg.train_dataloader.dataset.ann_file = 'cell.json'
    text = errors(check_data_files(cfg))
    assert f'there is no {coco.root / "cell.json"}' in text
    assert "Did you mean 'cells.json'?" in text
    assert 'cocodataset' not in text and 'instances_' not in text


@pytest.mark.fault('N1')
def test_images_of_a_coco_file_are_looked_at(coco):
    (coco.root / 'images/0.jpg').unlink()
    data = (coco.root / 'images/1.jpg').read_bytes()
    (coco.root / 'images/1.jpg').write_bytes(data[: len(data) // 2])
    picture(coco.root / 'images/2.jpg', 2, (32, 48))
    text = errors(check_built_images(coco.built(), 'train'))
    assert '0.jpg cannot be read: No such file' in text
    assert '1.jpg is truncated' in text
    assert '2.jpg: the annotation says 64x48, the image is 32x48' in text
    assert check_built_images(coco.built(), 'train', 'none')[0].severity == 'note'


@pytest.fixture
def voc(tmp_path) -> Folder:
    import_upstream('mmdet')
    return Folder(tmp_path / 'voc')


def voc_config(folder: Folder, kind: str = 'VOCDataset', classes=('cat', 'dog')) -> Config:
    dataset = dict(
        type=kind, data_root=str(folder.root.parent), ann_file=f'{folder.root.name}/ImageSets/Main/train.txt',
        data_prefix=dict(sub_data_root=folder.root.name), metainfo=dict(classes=classes),
    )  # fmt: skip
    return Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset)))


@pytest.mark.fault('1.12', '1.14')
@pytest.mark.parametrize('kind', ['VOCDataset', 'XMLDataset', 'mmdet.VOCDataset'])
def test_mmdets_own_voc_reader_is_checked_with_ours(voc, kind):
    (note,) = check_data_files(voc_config(voc, kind))
    assert '3 images (0 without objects), 6 objects: cat 3, dog 3' in note.text
    voc.xml('b', item('Cat'))
    assert "'Cat': 1 objects" in errors(check_data_files(voc_config(voc, kind)))


def test_what_only_our_voc_reader_repairs_is_an_error_with_mmdets(voc):
    voc.xml('b', item(box=(30, 3, 2, 20)))
    text = errors(check_data_files(voc_config(voc)))
    assert 'swapped corners' in text and "type='mdvision.VOCDataset'" in text


def test_data_sets_within_wrappers_are_found(coco):
    cfg = coco.config(classes=('Red cell', *CELLS[1:]))
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner])
    )
    assert 'Did you mean' in errors(check_data_files(cfg))


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Two pictures of each of three classes, in folders and in lists."""
    import_upstream('mmpretrain')
    for split in ('train', 'val'):
        lines = []
        for label, name in enumerate(('bird', 'cat', 'dog')):
            for number in range(2):
                picture(tmp_path / f'data/{split}/{name}/{number}.png', 100 * len(split) + len(lines))
                lines.append(f'{name}/{number}.png {label}\n')
        (tmp_path / f'data/{split}.txt').write_text(''.join(lines))
    return tmp_path / 'data'


def custom_config(root: Path, **more) -> Config:
    def loader(split):
        listed = {
            key: value.format(split) if isinstance(value, str) else value for key, value in more.items()
        }
        return dict(
            dataset=dict(type='CustomDataset', data_root=str(root), data_prefix=split, pipeline=[]) | listed
        )

    return Config(
        dict(default_scope='mmpretrain', train_dataloader=loader('train'), val_dataloader=loader('val'))
    )


@pytest.mark.fault('2.5', '2.6')
@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('cat/0.png 7', "a label from 0 to 2, got 'cat/0.png 7'"),
        ('cat/0.png -1', "a label from 0 to 2, got 'cat/0.png -1'"),
        ('', 'got a blank line'),
        ('cat/0.png', "got 'cat/0.png'"),
        ('cat/0.png\t1', 'expected "FILE LABEL"'),
    ],
)
def test_a_line_of_an_annotation_file_that_mmpretrain_cannot_use(pictures, line, reason):
    cfg = custom_config(pictures, ann_file='{}.txt', metainfo=dict(classes=['bird', 'cat', 'dog']))
    assert check_data_files(cfg) == []
    lines = (pictures / 'train.txt').read_text().splitlines()
    lines[3] = line
    (pictures / 'train.txt').write_text('\n'.join(lines))
    text = errors(check_data_files(cfg))
    assert f'{pictures}/train.txt, line 4: expected "FILE LABEL"' in text
    assert reason in text


def test_images_that_an_annotation_file_lists_must_be_there(pictures):
    (pictures / 'val/cat/1.png').unlink()
    text = errors(check_data_files(custom_config(pictures, ann_file='{}.txt')))
    assert 'CustomDataset (val): 1 of 6 images' in text and 'cat/1.png' in text


@pytest.mark.fault('2.2', '2.3', '2.4')
@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (lambda d: (d / 'val/cat').rename(d / 'val/Cat'), "no folder for 'cat', a class of"),
        (lambda d: shutil.rmtree(d / 'val/bird'), "no folder for 'bird', a class of"),
        (lambda d: picture(d / 'val/ant/0.png'), "a folder 'ant' that is not a class of"),
        (lambda d: picture(d / 'train/.ipynb_checkpoints/0.png'), '.ipynb_checkpoints would become a class'),
        (lambda d: [p.unlink() for p in (d / 'train/dog').iterdir()], 'class folders without an image: dog'),
    ],
)
def test_class_folders_of_mmpretrains_custom_data_set(pictures, spoil, reason):
    assert check_data_files(custom_config(pictures)) == []
    spoil(pictures)
    assert reason in errors(check_data_files(custom_config(pictures)))


def test_classes_of_a_custom_data_set_in_another_order_than_its_folders(pictures):
    cfg = custom_config(pictures, classes=['dog', 'cat', 'bird'])
    assert 'numbered in sorted order, bird, cat, dog' in errors(check_data_files(cfg))


class Named:
    """A data set with no more than names."""

    def __init__(self, *classes: str):
        self.metainfo = dict(classes=classes)


class Wrapper:
    def __init__(self, dataset):
        self.dataset = dataset


@pytest.mark.fault('1.17')
def test_class_names_of_training_and_validation_must_agree_in_their_order():
    ours = Named('circle', 'cross')
    assert check_splits(ours, Named('circle', 'cross')) == []
    text = errors(check_splits(Wrapper(ours), Named('cross', 'circle')))
    assert "val_dataloader: label 0 is 'circle' in training and 'cross' here" in text
    assert "label 1 is 'cross' in training and no class here" in errors(check_splits(ours, Named('circle')))
    assert 'label 2 is no class in training' in errors(check_splits(ours, Named('circle', 'cross', 'dot')))


@pytest.mark.fault('1.28')
def test_images_of_the_validation_that_are_trained_on_are_a_warning(coco, tmp_path):
    other = Coco(tmp_path / 'other')
    for number in range(3):
        picture(other.root / f'images/{number}.jpg', 10 + number)
    assert check_splits(coco.built(), other.built()) == []
    shutil.copy(coco.root / 'images/1.jpg', other.root / 'images/2.jpg')
    findings = check_splits(coco.built(), other.built())
    assert errors(findings) == ''
    assert '1 of 3 images are in the training set too, byte for byte' in warnings(findings)
    assert f'{other.root}/images/2.jpg = {coco.root}/images/1.jpg' in warnings(findings)
    assert '3 of 3 images' in warnings(check_splits(coco.built(), coco.built()))


class Loader(list):
    """A loader of some batches of a data set."""

    def __init__(self, dataset, batches: int):
        super().__init__(range(batches))
        self.dataset = dataset


class Sized(Named):
    def __len__(self) -> int:
        return 10


def runner(net: nn.Module, batches: int = 1, **cfg) -> SimpleNamespace:
    loader = Loader(Sized('a', 'b', 'c'), batches)
    return SimpleNamespace(
        model=net, train_dataloader=loader, cfg=Config(dict(train_dataloader=dict(batch_size=64), **cfg))
    )


def classifier(head: int, preprocessor: int) -> nn.Module:
    model = nn.Module()
    model.head, model.data_preprocessor, model.backbone = nn.Module(), nn.Module(), nn.Module()
    model.head.num_classes, model.data_preprocessor.num_classes = head, preprocessor
    model.backbone.num_classes = 7
    return model


@pytest.mark.fault('3.7', '3.8', '3.9', 'N17')
@pytest.mark.parametrize('number', [2, 80, 1000])
def test_every_number_of_classes_that_must_change_is_named_at_once(number):
    assert check_num_classes(runner(classifier(3, 3))) == []
    text = errors(check_num_classes(runner(classifier(number, number))))
    assert f'model.head.num_classes is {number}; model.data_preprocessor.num_classes is {number}' in text
    assert 'but the training set has 3 classes: a, b, c' in text
    assert 'set model.head.num_classes and model.data_preprocessor.num_classes to 3' in text
    top = dict(model=dict(), data_preprocessor=dict(num_classes=number))
    text = errors(check_num_classes(runner(classifier(3, number), **top)))
    assert 'set data_preprocessor.num_classes to 3' in text and 'model.data' not in text


@pytest.mark.fault('3.7')
def test_classes_in_a_neck_are_seen():
    model = nn.Module()
    model.neck = MLPLogits(in_channels=4, hidden_channels=4, num_classes=10)
    assert 'set model.neck.num_classes to 3' in errors(check_num_classes(runner(model)))


@pytest.mark.fault('2.8')
def test_a_set_that_makes_no_batch_is_an_error():
    assert check_batches(runner(nn.Module(), batches=1)) == []
    text = errors(check_batches(runner(nn.Module(), batches=0)))
    assert 'has 10 images, which do not fill a batch of 64: 0 iterations' in text


@pytest.mark.fault('1.12')
def test_mmpretrains_voc_is_checked_with_our_reader(voc):
    import_upstream('mmpretrain')
    dataset = dict(type='VOC', data_root=str(voc.root), split='train', metainfo=dict(classes=('cat', 'dog')))
    cfg = Config(dict(default_scope='mmpretrain', train_dataloader=dict(dataset=dataset)))
    assert errors(check_data_files(cfg)) == ''
    voc.xml('b', item('Cat'))
    assert "'Cat': 1 objects" in errors(check_data_files(cfg))


def test_panoptic_files_are_not_taken_for_boxes(coco):
    cfg = coco.config(type='CocoPanopticDataset', ann_file='absent.json')
    assert check_data_files(cfg) == []
