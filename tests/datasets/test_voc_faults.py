"""What VOCDataset refuses: every fault is an error that names the file and the reason."""

import shutil

import pytest
from voc_folder import TRAIN, Folder, item, turned

from mdvision.datasets import VOCDataset
from mdvision.errors import UserError


def cut(path, fraction=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])


def zero_tail(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


XML, JPG = 'Annotations/b.xml', 'JPEGImages/b.jpg'
FAULTS = {
    'missing xml': (
        lambda f: (f.root / XML).unlink(),
        [XML, 'annotation files missing (1)', 'fix: add them'],
    ),
    'missing image': (
        lambda f: (f.root / JPG).unlink(),
        [f'{JPG} (nor .jpeg, .png, .bmp, .tif, .tiff, .webp)\n', 'images missing (1)'],
    ),
    'missing image of another name': (
        lambda f: ((f.root / JPG).unlink(), f.xml('b', item(), filename='photo.jpg')),
        [f'{JPG} (nor .jpeg, .png, .bmp, .tif, .tiff, .webp nor photo.jpg)\n'],
    ),
    'missing folder of images': (
        lambda f: ((f.root / 'Annotations/x').mkdir(), f.xml('x/b', item()), f.split(['a', 'x/b'])),
        ['JPEGImages/x/b.jpg', 'images missing (1)'],
    ),
    'ids with endings': (
        lambda f: f.split(['a', 'b.jpg']),
        ['Annotations/b.jpg.xml (the split should list ids: remove the extensions)\n'],
    ),
    'malformed xml': (lambda f: cut(f.root / XML), [XML, 'line 1', 'malformed XML']),
    'empty xml': (lambda f: (f.root / XML).write_text(''), [XML, 'no element found']),
    'nan': (
        lambda f: f.xml('b', item(box=(2, 'nan', 9, 9))),
        [f'{XML}: object 1, <ymin>', "number, got 'nan'"],
    ),
    'no number': (
        lambda f: f.xml('b', item() + item(box=(2, 3, 'abc', 9))),
        [f'{XML}: object 2, <xmax>', "'abc'"],
    ),
    'no box': (
        lambda f: f.xml('b', '<object><name>cat</name></object>'),
        [f'{XML}: object 1, <bndbox>: missing'],
    ),
    'unknown class': (
        lambda f: f.xml('b', item('Cat') * 4 + item('horse')),
        [
            f"'Cat': 4 objects, first {XML} object 1. Did you mean 'cat'?",
            f"'horse': 1 objects, first {XML} object 5",
            "ignore_classes=('Cat', 'horse')",
        ],
    ),
    'class with a space': (lambda f: f.xml('b', item('hot dog')), ["'hot dog': 1 objects", XML]),
    'entirely outside': (
        lambda f: f.xml('b', item(box=(70, 3, 90, 9))),
        [f'{XML} object 1', 'outside the 64x48 image'],
    ),
    'far beyond': (
        lambda f: f.xml('b', item(box=(2, 3, 1e30, 9))),
        [f'{XML} object 1', 'extends far beyond'],
    ),
    'normalized': (
        lambda f: f.xml('b', item(box=(0.1, 0.2, 0.5, 0.9))),
        [f'{XML} object 1', 'lies within 0..1', 'multiply them by width and height'],
    ),
    'x y w h': (
        lambda f: f.xml('b', item(box=(40, 30, 12, 9)) * 4),
        [f'{XML} object 4', 'perhaps (x, y, width, height)'],
    ),
    'size disagrees': (
        lambda f: f.xml('b', item(), (128, 96)),
        [JPG, 'XML says 128x96, the image is 64x48', 'remove <size>'],
    ),
    'size exchanged': (lambda f: f.xml('b', item(), (48, 64)), [JPG, 'width and height are swapped']),
    'exif': (
        lambda f: turned(f, (64, 48)),
        [JPG, 'EXIF orientation 6', 'rotates the image to 48x64', "color_type='color_ignore_orientation'"],
    ),
    'cut image': (lambda f: cut(f.root / JPG), [JPG, 'truncated', 'broken images (1)']),
    'zero tail': (lambda f: zero_tail(f.root / JPG), [JPG, 'truncated']),
    'zero bytes': (lambda f: (f.root / JPG).write_bytes(b''), [JPG, 'is empty (0 bytes)']),
    'web page': (lambda f: (f.root / JPG).write_text('<html>404</html>'), [JPG, 'begins like an HTML']),
    'two ids, one image': (
        lambda f: ((f.root / JPG).unlink(), f.xml('b', item(), filename='a.jpg')),
        ['JPEGImages/a.jpg: a and b', 'images shared by two ids'],
    ),
    'duplicate ids': (lambda f: f.split(['a', 'b', 'b']), ['train.txt', 'b (2x)']),
    'empty split': (lambda f: f.split([]), ['train.txt', 'is empty']),
    'no split': (
        lambda f: ((f.root / TRAIN).rename(f.root / 'ImageSets/Main/trains.txt'), f.split('a', 'val')),
        ['train.txt', 'there are trains.txt, val.txt', "Did you mean 'trains.txt'"],
    ),
    'no images folder': (
        lambda f: shutil.rmtree(f.root / 'JPEGImages'),
        ['no folder', 'JPEGImages (img_subdir)'],
    ),
    'no annotations folder': (lambda f: shutil.rmtree(f.root / 'Annotations'), ['Annotations (ann_subdir)']),
    'no root': (
        lambda f: shutil.rmtree(f.root),
        ['my data (data_root)', 'faster_rcnn_minivoc.py generates its own'],
    ),
    'no objects': (lambda f: [f.xml(i) for i in 'abc'], ['train.txt', "no object of classes ('cat', 'dog')"]),
}


@pytest.mark.fault(
    '1.1',
    '1.2',
    '1.3',
    '1.4',
    '1.5',
    '1.8',
    '1.10',
    '1.11',
    '1.12',
    '1.14',
    '1.18',
    '1.19',
    '1.22',
    '1.25',
    '1.27',
    '1.31',
    '1.35',
)
@pytest.mark.parametrize('check', ['header', 'decode'])
@pytest.mark.parametrize('name', FAULTS)
def test_fault_is_an_error_with_file_and_reason(folder, name, check):
    folder.read(check_images=check, show_summary=False)
    spoil, expected = FAULTS[name]
    spoil(folder)
    with pytest.raises(UserError) as caught:
        folder.read(check_images=check, show_summary=False)
    for text in expected:
        assert text in str(caught.value)
    assert str(folder.root) in str(caught.value)


@pytest.mark.fault('1.13')
def test_test_splits_are_checked_too(folder):
    folder.xml('b', item('Cat'))
    with pytest.raises(UserError, match=r"'Cat': 1 objects.*Did you mean 'cat'"):
        folder.read(test_mode=True)


def test_all_faults_come_in_one_message_of_bounded_length(tmp_path):
    ids = [f'{i:03d}' for i in range(90)]
    folder = Folder(tmp_path / 'set', ids)
    for image_id in ids[:30]:
        (folder.root / f'JPEGImages/{image_id}.jpg').unlink()
    for image_id in ids[30:60]:
        folder.xml(image_id, item('cow'))
    (folder.root / 'Annotations/060.xml').unlink()
    cut(folder.root / 'JPEGImages/061.jpg')
    folder.xml('062', item(box=(2, 3, 'x', 9)))
    with pytest.raises(UserError) as caught:
        folder.read()
    text = str(caught.value)
    assert text.startswith(f'34 faults in the VOC data of split {TRAIN} (90 images')
    for part in (
        'JPEGImages/000.jpg',
        "'cow': 30 objects",
        '060.xml',
        '061.jpg',
        '062.xml: object 1, <xmax>',
    ):
        assert part in text
    details = [line for line in text.splitlines() if line.startswith('    ') and '...' not in line]
    assert 10 <= len(details) <= 20
    shown = sum('JPEGImages/0' in line and 'truncated' not in line for line in details)
    assert f'    ... and {30 - shown} more' in text


VOC20 = (
    'aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person '
    'pottedplant sheep sofa train tvmonitor'
)


@pytest.mark.parametrize(
    ('root', 'classes'),
    [('somewhere', VOC20.split(' ')), ('data/VOCdevkit', ['cat']), ('data/VOC2012', ['cat'])],
)
def test_missing_pascal_voc_says_where_it_comes_from(root, classes):
    with pytest.raises(UserError) as caught:
        VOCDataset(root, TRAIN, {'classes': classes})
    for text in (f'no folder {root}', 'host.robots.ox.ac.uk/pascal/VOC', 'data/VOCdevkit/VOC2007/{JPEGImages',
                 'python tools/train.py configs/emanet/faster_rcnn_minivoc.py'):  # fmt: skip
        assert text in str(caught.value)
    assert str(caught.value).endswith('generates its own.')


@pytest.mark.fault('1.16')
def test_one_class_may_be_a_string(folder):
    data = folder.read(metainfo={'classes': 'cat'}, ignore_classes=['dog'], show_summary=False)
    assert data.metainfo['classes'] == ('cat',)


@pytest.mark.fault('1.15')
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'metainfo': None}, 'class names are missing'),
        ({'metainfo': {'palette': []}}, 'class names are missing'),
        ({'metainfo': {'classes': ()}}, 'at least one class name'),
        ({'metainfo': {'classes': ''}}, "got ''"),
        ({'metainfo': {'classes': ('cat', 3)}}, 'got 3'),
        ({'metainfo': {'classes': ('cat', 'dog ')}}, "got 'dog '"),
        ({'metainfo': {'classes': ('cat', 'dog', 'cat')}}, r"\['cat'\] more than once"),
        ({'ignore_classes': ('dog',)}, r"\['dog'\] is in both classes and ignore_classes"),
        ({'box_base': 2}, "'auto', 0 or 1, got 2"),
        ({'box_base': True}, 'got True'),
        ({'check_images': 'all'}, "got 'all'"),
        ({'filter_cfg': {'filter_empty': True}}, "got 'filter_empty'. Did you mean 'filter_empty_gt'"),
        ({'data_prefix': {'img_path': 'x'}}, "only 'sub_data_root'"),
        ({'backend_args': {'backend': 'petrel'}}, 'reads local files'),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(UserError, match=message):
        folder.read(**options)
