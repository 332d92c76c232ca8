"""What is written about predictions, under which names, and what is left when it fails or is interrupted."""

import csv
import json
import weakref
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from mdvision.annotations import FORMATS as READERS
from mdvision.annotations.form import ConversionReport, ReadOptions
from mdvision.annotations.settle import settle
from mdvision.errors import UserError
from mdvision.inference.predictions import Classification, Detections
from mdvision.inference.saving import Results
from mdvision.inference.sources import Source

CLASSES = ('cat', 'dog', 'kleine Eule')
DETECTOR = SimpleNamespace(task='detection', classes=CLASSES, description=dict(name='finder'))
CLASSIFIER = SimpleNamespace(task='classification', classes=CLASSES, description=dict(name='namer'))
HEIGHT, WIDTH = 48, 64
BOXES = [[1.25, 2.5, 30.125, 40], [-3, 5, 20, 60], [5.5, 6.1, 17.7, 18.9], [40, 40, 40.5, 41]]
ANNOTATIONS = ('voc', 'coco', 'yolo')
FULL = Path('/dev/full')


def found(source, boxes=BOXES, size=(HEIGHT, WIDTH)) -> Detections:
    count = len(boxes)
    return Detections(
        str(source), CLASSES, size, np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.4, count).astype(np.float32), np.arange(count) % 3,
        image=np.full((*size, 3), 128, np.uint8),
    )  # fmt: skip


def named(source, scores=(0.2, 0.7, 0.1)) -> Classification:
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    return Classification(str(source), CLASSES, (HEIGHT, WIDTH), np.array(scores, np.float32), image=image)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (WIDTH, HEIGHT), (128, 128, 128)).save(path)
    return path


def results(out: Path, *formats, model=DETECTOR, video=None, **options) -> Results:
    return Results(out, list(formats), model, Source([], None, video), **options)


def write(out: Path, predictions, *formats, **options) -> Results:
    with results(out, *formats, **options) as opened:
        for one in predictions:
            opened.add(one)
    return opened


def test_json_and_csv_of_a_detector(tmp_path):
    one = found('a.jpg')
    opened = write(tmp_path / 'out', [one, found('b.jpg', [])], 'json', 'csv', draw=False)
    assert [path.name for path in opened.written] == ['predictions.json', 'predictions.csv']
    content = json.loads(opened.written[0].read_text(encoding='utf-8'))
    assert content['model'] == 'finder' and content['classes'] == list(CLASSES) and content['complete']
    assert content['images'] == [one.to_dict(), found('b.jpg', []).to_dict()]
    rows = list(csv.DictReader(opened.written[1].open(encoding='utf-8')))
    assert [row['label'] for row in rows] == one.names
    assert [float(row['xmax']) for row in rows] == pytest.approx(one.boxes[:, 2], abs=0.005)
    assert [float(row['score']) for row in rows] == pytest.approx(one.scores, abs=1e-6)


def test_json_and_csv_of_a_classifier(tmp_path):
    opened = write(tmp_path / 'out', [named('a.jpg')], 'json', 'csv', model=CLASSIFIER, top=2)
    content = json.loads((tmp_path / 'out/predictions.json').read_text(encoding='utf-8'))
    assert [one['label'] for one in content['images'][0]['top']] == ['dog', 'cat']
    rows = list(csv.DictReader((tmp_path / 'out/predictions.csv').open(encoding='utf-8')))
    assert [(row['rank'], row['label'], row['score']) for row in rows] == [
        ('1', 'dog', '0.700000'),
        ('2', 'cat', '0.200000'),
    ]
    assert tmp_path / 'out/images' in opened.written
    assert cv2.imread(str(tmp_path / 'out/images/a.jpg')).shape[0] > HEIGHT  # with its strip


@pytest.mark.parametrize('kind', [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_command_leaves_whole_files(tmp_path, kind):
    with pytest.raises(kind), results(tmp_path / 'out', 'json', 'csv', 'voc') as opened:
        opened.add(found(picture(tmp_path / 'a.png')))
        raise kind
    content = json.loads((tmp_path / 'out/predictions.json').read_text(encoding='utf-8'))
    assert len(content['images']) == 1 and content['complete'] is False
    assert len((tmp_path / 'out/predictions.csv').read_text(encoding='utf-8').splitlines()) == 5
    assert (tmp_path / 'out/voc/Annotations/a.xml').is_file()


def test_interrupted_before_the_first_image(tmp_path):
    with pytest.raises(KeyboardInterrupt), results(tmp_path / 'out', 'json', *ANNOTATIONS):
        raise KeyboardInterrupt
    assert json.loads((tmp_path / 'out/predictions.json').read_text())['images'] == []
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['predictions.json']


def test_equal_names_do_not_overwrite_each_other(tmp_path):
    sources = ['one/x.jpg', 'two/x.png', 'three/X.jpg', 'x_2.jpg', 'four/x.jpg']
    files = [picture(tmp_path / name) for name in sources]
    write(tmp_path / 'out', map(found, files), 'json', 'voc')
    images = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    assert [one['source'] for one in images] == list(map(str, files))
    drawn = [one['drawn'] for one in images]
    assert len({name.lower() for name in drawn}) == 5
    assert all((tmp_path / 'out' / name).is_file() for name in drawn)
    assert drawn[:2] == ['images/x.jpg', 'images/x_2.jpg']
    for name, file in zip(drawn, files, strict=True):  # the same names everywhere
        annotated = tmp_path / 'out/voc/JPEGImages' / (Path(name).stem + file.suffix)
        assert annotated.samefile(file)


@pytest.mark.parametrize('kind', ANNOTATIONS)
def test_annotations_are_read_as_they_were_predicted(tmp_path, kind, capsys):
    files = [picture(tmp_path / 'in' / name) for name in ('my cat.jpg', 'b.c.png', 'empty.jpg')]
    write(tmp_path / 'out', [found(files[0]), found(files[1]), found(files[2], [])], kind, draw=False)
    report = ConversionReport('', '')
    data = READERS[kind].read(tmp_path / 'out' / kind, report, ReadOptions())
    settle(data, report, 'decode')
    report.raise_faults()
    assert set(data.classes) == set(CLASSES)
    assert {image.name for image in data.images} == {'my cat.jpg', 'b.c.png', 'empty.jpg'}
    for image in data.images:
        assert image.size == (WIDTH, HEIGHT)
        assert image.split == ('' if kind == 'coco' else 'train')  # one COCO file is of no split
        expected = [] if image.id == 'empty' else np.clip(BOXES[:3], 0, [WIDTH, HEIGHT] * 2)
        assert [box.label for box in image.boxes] == list(CLASSES[: len(expected)])
        corners = np.array([box.corners for box in image.boxes]).reshape(-1, 4)
        assert corners == pytest.approx(np.reshape(expected, (-1, 4)), abs=1e-5)
    assert 'my cat.jpg box 4' in capsys.readouterr().out  # lower than a pixel


def test_all_annotations_at_once(tmp_path):
    """A box of exactly one pixel: VOC cannot hold it, and the others do not lose it."""
    file = picture(tmp_path / 'a.jpg')
    opened = write(
        tmp_path / 'out', [found(file, [[3, 4, 4, 9], [1, 2, 30, 40]])], 'coco', 'voc', 'yolo', draw=False
    )
    assert [path.name for path in opened.written] == ['coco', 'voc', 'yolo']
    assert (tmp_path / 'out/voc/Annotations/a.xml').read_text().count('<object>') == 1
    assert len(json.loads((tmp_path / 'out/coco/annotations/train.json').read_text())['annotations']) == 2
    assert len((tmp_path / 'out/yolo/labels/train/a.txt').read_text().splitlines()) == 2


def test_coco_results_have_the_scores(tmp_path, capsys):
    from pycocotools.coco import COCO

    files = [picture(tmp_path / name) for name in ('a.jpg', 'b.jpg')]
    write(tmp_path / 'out', [found(files[0], []), found(files[1])], 'coco', draw=False)
    coco = COCO(str(tmp_path / 'out/coco/annotations/train.json'))
    loaded = coco.loadRes(str(tmp_path / 'out/coco/detections.json'))
    objects = loaded.loadAnns(loaded.getAnnIds())
    assert [one['score'] for one in objects] == pytest.approx(found('x').scores[:3])
    truth = coco.loadAnns(coco.getAnnIds())
    for key in ('image_id', 'category_id', 'bbox'):
        assert [one[key] for one in objects] == [one[key] for one in truth]
    assert coco.loadImgs(objects[0]['image_id'])[0]['file_name'] == 'b.jpg'


def test_images_of_other_kinds_are_named_and_not_annotated(tmp_path, capsys):
    files = [picture(tmp_path / name) for name in ('a.jpg', 'b.ppm')]
    write(tmp_path / 'out', map(found, files), 'yolo', draw=False)
    assert 'b.ppm' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / 'out/yolo/images/train').iterdir()] == ['a.jpg']


def test_what_cannot_be_annotated_is_refused(tmp_path):
    with pytest.raises(UserError, match='--save voc coco: namer is a classifier'):
        results(tmp_path / 'out', 'voc', 'coco', model=CLASSIFIER)
    with pytest.raises(UserError, match=r'--save yolo: .* the source is a video. Extract the frames'):
        results(tmp_path / 'out', 'yolo', video=(25.0, WIDTH, HEIGHT))
    assert not (tmp_path / 'out').exists()
    with pytest.raises(UserError, match='array 0 is no image file to annotate'):
        write(tmp_path / 'out', [found('array 0')], 'voc', draw=False)


def test_corrected_annotations_are_not_replaced(tmp_path):
    file, out = picture(tmp_path / 'a.jpg'), tmp_path / 'out'
    write(out, [found(file)], 'json', 'voc', draw=False)
    annotation = out / 'voc/Annotations/a.xml'
    annotation.write_text('corrected')
    with pytest.raises(UserError, match='voc exists, and its annotations may have been corrected by hand'):
        write(out, [found(file)], 'json', 'voc', draw=False, overwrite=True)
    assert annotation.read_text() == 'corrected'
    write(out, [found(file, [])], 'json', 'coco', draw=False, overwrite=True)
    assert json.loads((out / 'predictions.json').read_text())['images'][0]['objects'] == []


def test_a_folder_that_is_not_empty_is_asked_about(tmp_path):
    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(UserError, match=r'is not empty. Choose another --out, or allow it with --overwrite'):
        results(tmp_path, 'json')
    write(tmp_path, [], 'json', overwrite=True)
    assert (tmp_path / 'mine.txt').read_text() == 'mine'


def test_a_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file is a file; --out is the folder'):
        results(tmp_path / 'file', 'json')
    with pytest.raises(UserError, match=r'inner cannot be written: Not a directory. Choose another --out'):
        results(tmp_path / 'file' / 'inner', 'json')


def test_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('tempfile.TemporaryFile', refuse)
    with pytest.raises(UserError, match='out cannot be written: Permission denied'):
        results(tmp_path / 'out', 'json')


@pytest.mark.parametrize('name', ['predictions.csv', 'images/a.jpg', 'predictions.json'])
def test_a_folder_in_the_way_of_a_file(tmp_path, name):
    (tmp_path / 'out' / name).mkdir(parents=True)
    with pytest.raises(UserError, match=rf'{name} could not be written: Is a directory'):
        write(tmp_path / 'out', [found('a.jpg')], 'json', 'csv', overwrite=True)
    if name != 'predictions.json':  # the others are whole
        content = json.loads((tmp_path / 'out/predictions.json').read_text())
        assert content['complete'] is False


@pytest.mark.skipif(not FULL.exists(), reason='/dev/full is the disk without room')
@pytest.mark.parametrize('name', ['predictions.json', 'predictions.csv', 'images/a.jpg'])
@pytest.mark.parametrize('count', [1, 300])  # the buffer of a file holds less than 300
def test_a_full_disk(tmp_path, name, count):
    (tmp_path / 'out/images').mkdir(parents=True)
    (tmp_path / 'out' / name).symlink_to(FULL)
    with pytest.raises(UserError, match=rf'{name} could not be written: No space left on device.*Make room'):
        write(
            tmp_path / 'out', [found('a.jpg')] * count, 'json', 'csv', overwrite=True, draw='images' in name
        )


@pytest.mark.skipif(not FULL.exists(), reason='/dev/full is the disk without room')
def test_a_full_disk_does_not_hide_the_error_that_came_before(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/predictions.json').symlink_to(FULL)
    with (
        pytest.raises(RuntimeError, match='before'),
        results(tmp_path / 'out', 'json', overwrite=True, draw=False) as opened,
    ):
        opened.add(found('a.jpg'))
        raise RuntimeError('before')


def test_annotations_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(28, 'No space left on device', str(self))

    file = picture(tmp_path / 'a.jpg')
    with results(tmp_path / 'out', 'json', 'yolo', draw=False) as opened:
        opened.add(found(file))
        monkeypatch.setattr(Path, 'write_text', full)
        with pytest.raises(UserError, match='No space left'):
            opened.__exit__(None, None, None)
        opened._writers.clear()
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['predictions.json']


def test_the_images_that_are_predicted_on_are_not_replaced(tmp_path):
    files = [picture(tmp_path / 'images/sub/a.jpg'), picture(tmp_path / 'images/b.jpg')]
    before = [file.read_bytes() for file in files]
    with pytest.raises(UserError, match='would replace those that are predicted on'):
        write(tmp_path, map(found, files), 'json', overwrite=True)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(('height', 'width'), [(48, 64), (47, 63)])
def test_a_video_keeps_its_frames_and_their_size(tmp_path, height, width):
    frames = [found(f'clip.mp4 frame {n}', [[5, 5, 40, 40]], (height, width)) for n in range(7)]
    opened = write(tmp_path / 'out', frames, 'json', video=(12.5, width, height))
    assert [path.name for path in opened.written] == ['predictions.mp4', 'predictions.json']
    video = cv2.VideoCapture(str(opened.written[0]))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    shapes = []
    while (read := video.read())[0]:
        shapes.append(read[1].shape[:2])
    assert shapes == [(height // 2 * 2, width // 2 * 2)] * 7
    content = json.loads(opened.written[1].read_text())
    assert [one['source'] for one in content['images']] == [one.source for one in frames]
    assert 'drawn' not in content['images'][0]


def test_the_video_of_a_classifier_has_its_strip(tmp_path):
    frames = [named('clip.mp4 frame 0', (1, 0, 0)), named('clip.mp4 frame 1', (0.1, 0.2, 0.7))]
    write(tmp_path / 'out', frames, model=CLASSIFIER, video=(25.0, WIDTH, HEIGHT))
    video = cv2.VideoCapture(str(tmp_path / 'out/predictions.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert video.get(cv2.CAP_PROP_FRAME_HEIGHT) > HEIGHT


def test_a_video_that_is_cut_short_can_be_read(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        results(tmp_path / 'out', 'json', video=(25.0, WIDTH, HEIGHT)) as opened,
    ):
        for number in range(5):
            opened.add(found(f'camera 0 frame {number}'))
        raise KeyboardInterrupt
    video = cv2.VideoCapture(str(tmp_path / 'out/predictions.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5 and video.read()[0]


def test_a_video_that_could_not_be_written_whole_is_named(tmp_path, monkeypatch):
    """OpenCV says nothing when the disk is full."""
    video_writer = cv2.VideoWriter

    class Full:  # no subclass: OpenCV frees objects of its classes in a way that damages those of subclasses
        def __init__(self, *args):
            self.whole, self.count = video_writer(*args), 0

        def write(self, frame):
            self.count += 1
            if self.count <= 3:
                self.whole.write(frame)

        def __getattr__(self, name):
            return getattr(self.whole, name)

    monkeypatch.setattr(cv2, 'VideoWriter', Full)
    frames = [found(f'clip.mp4 frame {n}') for n in range(5)]
    with pytest.raises(UserError, match=r'predictions.mp4 could not be written: it has 3 of 5 frames'):
        write(tmp_path / 'out', frames, video=(25.0, WIDTH, HEIGHT))


def test_a_video_that_opencv_does_not_open(tmp_path):
    (tmp_path / 'out/predictions.mp4').mkdir(parents=True)
    with pytest.raises(UserError, match=r'predictions.mp4 cannot be written as a video of 64 x 48'):
        write(tmp_path / 'out', [found('a.mp4 frame 0')], video=(25.0, WIDTH, HEIGHT), overwrite=True)


def test_a_video_does_not_replace_itself(tmp_path):
    (tmp_path / 'predictions.mp4').write_text('the source')
    with pytest.raises(UserError, match='may be the video that is predicted on'):
        write(tmp_path, [found('predictions.mp4 frame 0')], video=(25.0, WIDTH, HEIGHT), overwrite=True)
    assert (tmp_path / 'predictions.mp4').read_text() == 'the source'


@pytest.mark.parametrize(('formats', 'video'), [
    (('json', 'csv'), (25.0, WIDTH, HEIGHT)), (('json', 'csv', *ANNOTATIONS), None)
])  # fmt: skip
def test_no_image_is_kept(tmp_path, formats, video):
    """So that a long video does not fill the memory."""
    file = picture(tmp_path / 'a.jpg')
    alive = []
    with results(tmp_path / 'out', *formats, video=video) as opened:
        for _ in range(3):
            one = found(file)
            alive += [weakref.ref(one), weakref.ref(one.image), weakref.ref(one.boxes)]
            opened.add(one)
            del one
            assert not any(ref() is not None for ref in alive)


def test_letters_without_a_font_are_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('mdvision.inference.saving.unwritable_names', lambda classes: ['細胞'])
    results(tmp_path / 'out', 'json')
    assert 'no installed font has the letters of 細胞' in capsys.readouterr().out
    results(tmp_path / 'out', 'json', draw=False)
    assert capsys.readouterr().out == ''
