"""ImageFolder: its classes, the kinds of pictures it takes, and every fault it must not pass over."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mdvision import ImageFolder, UserError
from mdvision.config.fill import fill_config
from mdvision.console import import_upstream
from mdvision.datasets import image_folder
from mdvision.datasets.class_folders import read_pairs, shared_files
from mdvision.meta_device import meta_device

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
CLASSES = ('bird', 'cat', 'dog')


@pytest.fixture(autouse=True)
def host():
    import_upstream('mmpretrain')
    init_default_scope('mmpretrain')


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What the data set prints and warns of."""
    lines = []
    monkeypatch.setattr(image_folder, 'say', lines.append)
    monkeypatch.setattr(image_folder, 'print_log', lambda text, level, **_: lines.append(text))
    return lines


@pytest.fixture
def folder(tmp_path):
    """Three training and two validation pictures of each of three classes."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 3), ('val', 2)):
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                picture = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                cv2.imwrite(str(tmp_path / split / name / f'{index}.jpg'), picture)
    return tmp_path


def test_labels_are_the_sorted_folders_of_train(folder, said):
    train, val = ImageFolder(str(folder)), ImageFolder(str(folder), split='val')
    assert train.metainfo['classes'] == val.metainfo['classes'] == CLASSES
    assert train.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert val.get_gt_labels().tolist() == [0, 0, 1, 1, 2, 2]
    assert train.get_data_info(4)['img_path'] == f'{folder}/train/cat/1.jpg'
    assert not train.test_mode and val.test_mode
    assert said[0] == f'image folder {folder}/train: 9 images, 3 classes of 3 (bird) to 3 (bird) images'
    assert said[1].startswith(f'image folder {folder}/val: 6 images') and len(said) == 2


def test_the_counts_are_those_of_the_smallest_and_the_largest_class(folder, said):
    shutil.copy(folder / 'train/dog/0.jpg', folder / 'train/dog/9.JPEG')
    (folder / 'train/cat/2.jpg').unlink()
    ImageFolder(str(folder))
    assert '9 images, 3 classes of 2 (cat) to 4 (dog) images' in said[-1]


def test_it_builds_in_a_config_and_loads(folder):
    from mmpretrain.registry import DATASETS

    dataset = DATASETS.build(dict(type='mdvision.ImageFolder', data_root=str(folder), pipeline=PIPELINE))
    assert type(dataset) is ImageFolder
    item = dataset[8]
    assert item['inputs'].shape == (3, 20, 24)
    assert item['data_samples'].gt_label.tolist() == [2]


@pytest.mark.fault('2.3')
def test_hidden_folders_and_files_have_no_effect(folder, said):
    for split in ('train', 'val'):
        (folder / split / '.ipynb_checkpoints').mkdir()
        shutil.copy(folder / split / 'cat/0.jpg', folder / split / '.ipynb_checkpoints/0.jpg')
    (folder / 'train/cat/.0.jpg').write_bytes(b'')
    (folder / 'train/cat/Thumbs.db').write_bytes(b'')
    assert ImageFolder(str(folder)).get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert 'skipped, not images by their extensions (1): cat/Thumbs.db' in said[-1]
    assert len(ImageFolder(str(folder), split='val')) == 6


def test_folders_in_a_class_belong_to_it(folder):
    (folder / 'train/cat/more').mkdir()
    shutil.copy(folder / 'train/cat/0.jpg', folder / 'train/cat/more/0.jpg')
    dataset = ImageFolder(str(folder))
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_explicit_classes_give_the_order(folder):
    order = ['dog', 'bird', 'cat']
    dataset = ImageFolder(str(folder), classes=order)
    paths = [dataset.get_data_info(i) for i in range(9)]
    assert [CLASSES.index(p['img_path'].split('/')[-2]) for p in paths] == [2, 2, 2, 0, 0, 0, 1, 1, 1]
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert ImageFolder(str(folder), metainfo=dict(classes=order)).metainfo['classes'] == tuple(order)
    shutil.rmtree(folder / 'train')
    assert len(ImageFolder(str(folder), split='val', classes=order)) == 6
    with pytest.raises(UserError, match=r'no folder .*train \(it defines the order of the classes'):
        ImageFolder(str(folder), split='val')


@pytest.mark.parametrize('classes', ['cat', ['cat', 'cat'], ['cat', 3], ['cat'], []])
def test_wrong_classes(folder, classes):
    with pytest.raises(UserError, match='classes'):
        ImageFolder(str(folder), classes=classes)


@pytest.mark.fault('2.4')
def test_a_class_too_few_or_too_many(folder):
    with pytest.raises(UserError, match=r"train: a folder 'dog' that is not a class of classes="):
        ImageFolder(str(folder), classes=['bird', 'cat'])
    (folder / 'val/dog').rename(folder / 'val/Dog')
    with pytest.raises(UserError) as caught:
        ImageFolder(str(folder), split='val')
    assert "no folder for 'dog', a class of " in str(caught.value)
    assert "a folder 'Dog' that is not a class of " in str(caught.value)


@pytest.mark.fault('2.2')
def test_an_empty_class(folder):
    shutil.rmtree(folder / 'train/cat')
    (folder / 'train/cat').mkdir()
    (folder / 'train/cat/notes.txt').write_text('soon')
    with pytest.raises(UserError, match=f'{folder}/train/cat: no image'):
        ImageFolder(str(folder))


def test_pictures_outside_the_classes(folder):
    shutil.copy(folder / 'train/cat/0.jpg', folder / 'train/9.jpg')
    with pytest.raises(UserError, match=r'images outside the class folders: 9\.jpg'):
        ImageFolder(str(folder))


@pytest.mark.fault('2.7')
def test_missing_folders(folder, tmp_path):
    with pytest.raises(UserError, match=r'no folder .*none/train') as caught:
        ImageFolder(str(tmp_path / 'none'))
    assert 'layout: ' in str(caught.value) and '--cfg-options data_root=FOLDER' in str(caught.value)
    with pytest.raises(UserError, match=r'It contains train, val\.'):
        ImageFolder(str(folder), split='test')
    with pytest.raises(UserError, match='data_root'):
        ImageFolder()
    (tmp_path / 'flat/train').mkdir(parents=True)
    with pytest.raises(UserError, match=r'at least two classes, in .*flat/train, found none'):
        ImageFolder(str(tmp_path / 'flat'))


def damage(folder) -> dict[str, str]:
    """Breaks five files; their names and what must be said of each."""
    whole = (folder / 'train/cat/0.jpg').read_bytes()
    (folder / 'train/cat/0.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / 'train/cat/1.jpg').write_bytes(b'')
    (folder / 'train/dog/1.jpg').write_bytes(b'<!DOCTYPE html><html>404</html>')
    (folder / 'train/dog/2.jpg').write_bytes(whole[:-200] + bytes(200))
    png = cv2.imencode('.png', np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    (folder / 'train/bird/0.png').write_bytes(png[:-30])
    return {
        'cat/0.jpg': 'truncated',
        'cat/1.jpg': '0 bytes',
        'dog/1.jpg': 'HTML',
        'dog/2.jpg': 'no end-of-image',
        'bird/0.png': '',
    }


@pytest.mark.fault('2.1')
@pytest.mark.parametrize('check', ['header', 'full'])
def test_every_broken_picture_is_named(folder, check):
    expected = damage(folder)
    with pytest.raises(UserError, match='5 broken images') as caught:
        ImageFolder(str(folder), check=check)
    lines = {line.split()[0]: line for line in str(caught.value).splitlines() if line.startswith('    ')}
    assert set(lines) == set(expected)
    assert all(text in lines[name] for name, text in expected.items())


def test_twenty_broken_pictures_are_listed(folder):
    for index in range(30):
        (folder / f'train/cat/x{index}.jpg').write_bytes(b'')
    with pytest.raises(UserError, match=r'30 broken images.*(\n    .*){20}\n    \.\.\. and 10 more'):
        ImageFolder(str(folder))


def test_no_check_and_a_wrong_check(folder):
    damage(folder)
    assert len(ImageFolder(str(folder), check='none')) == 10
    with pytest.raises(UserError, match='check one of'):
        ImageFolder(str(folder), check='decode')


def test_grey_palette_rgba_and_cmyk_become_colour(folder):
    picture = Image.fromarray(np.full((20, 24, 3), (200, 100, 50), np.uint8))
    for mode, name in (('L', 'a.png'), ('P', 'b.png'), ('RGBA', 'c.png'), ('CMYK', 'd.jpg'), ('1', 'e.bmp')):
        picture.convert(mode).save(folder / 'train/cat' / name)
    picture.save(folder / 'train/cat/f.jpg', format='PNG')  # the ending says something else
    dataset = ImageFolder(str(folder), pipeline=PIPELINE, check='full')
    assert len(dataset) == 15
    for index in range(15):
        assert dataset[index]['inputs'].shape == (3, 20, 24)
    by_name = {dataset.get_data_info(i)['img_path'].split('/')[-1]: i for i in range(15)}
    for name in ('b.png', 'c.png', 'd.jpg', 'f.jpg'):  # BGR, which the preprocessor turns
        assert abs(dataset[by_name[name]]['inputs'][:, 5, 5].int().numpy() - (50, 100, 200)).max() <= 8


@pytest.mark.parametrize('name', ['deep.png', 'deep.tif', 'deep.pgm'])
def test_16_bits_are_an_error_or_divided_by_256(folder, name, said):
    grey = np.arange(480, dtype=np.uint16).reshape(20, 24) * 100
    cv2.imwrite(str(folder / 'train/cat' / name), grey)
    with pytest.raises(UserError, match=f'1 images of 16 bits in .*: cat/{name}\n.*scale_16_bit=True'):
        ImageFolder(str(folder))
    dataset = ImageFolder(str(folder), scale_16_bit=True, pipeline=PIPELINE)
    assert f'read as value // 256: cat/{name}' in said[-1]
    (index,) = [i for i in range(10) if dataset.get_data_info(i)['img_path'].endswith(name)]
    assert (dataset[index]['inputs'].numpy() == grey // 256).all()


def test_kinds_that_opencv_cannot_load(folder):
    cv2.imwrite(str(folder / 'train/cat/float.tif'), np.zeros((4, 4), np.float32))
    with pytest.raises(UserError, match=r'cat/float\.tif is of a kind that OpenCV'):
        ImageFolder(str(folder))


def test_pictures_in_train_and_val_are_a_warning(folder, said):
    shutil.copy(folder / 'train/cat/1.jpg', folder / 'val/dog/twin.jpg')
    ImageFolder(str(folder), split='val')
    printed = said[1]
    assert f'1 of 7 images of {folder}/val are in {folder}/train too' in printed
    assert f'{folder}/val/dog/twin.jpg = {folder}/train/cat/1.jpg' in printed


def test_shared_files_compares_every_byte(tmp_path):
    contents = {'a': b'x' * 999, 'b': b'x' * 998 + b'y', 'c': b'y' * 999, 'd': b'x' * 999, 'e': b'z'}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    a, b, c, d, e = (tmp_path / name for name in contents)
    assert shared_files([a, c], [b, d, e]) == [(a, d)]
    assert shared_files([a, d], [a, d]) == [(a, a), (a, d)]
    assert shared_files([], [a]) == []


def test_annotation_lines(tmp_path):
    path = tmp_path / 'train.txt'
    path.write_text('\ufeffa b.jpg 1\r\n\n c.jpg  0 \n', encoding='utf-8')
    assert read_pairs(path, 2) == [('a b.jpg', 1), ('c.jpg', 0)]
    for line in ('a.jpg 2', 'a.jpg -1', 'a.jpg', '1', 'a.jpg x', 'a.jpg 1.0'):
        path.write_text(f'b.jpg 0\n{line}\n')
        with pytest.raises(UserError, match=r'train\.txt, line 2: expected'):
            read_pairs(path, 2)
    path.write_text('\n')
    with pytest.raises(UserError, match='lists no image'):
        read_pairs(path, 2)


def test_the_config_of_the_page_fits_the_folder(folder):
    """docs/your_data.md, to the letter: the model builds, and the loaders find the pictures."""
    from mmpretrain.registry import DATASETS, MODELS

    root = Path(__file__).resolve().parents[2]
    blocks = re.findall(r'```python\n(.*?)```', (root / 'docs/your_data.md').read_text(), re.DOTALL)
    (text,) = [block for block in blocks if 'image_folder/resnet18.py' in block]
    text = text.replace('./configs', f'{root}/configs').replace('data/pictures', str(folder))
    (folder / 'my_classifier.py').write_text(text)
    cfg = Config.fromfile(folder / 'my_classifier.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert DATASETS.build(loader.dataset).metainfo['classes'] == CLASSES
    fill_config(cfg)
    assert cfg.data_preprocessor.num_classes == cfg.model.head.num_classes == len(CLASSES)
    with meta_device():
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    assert model.head.in_channels == model.backbone.out_channels[-1]
