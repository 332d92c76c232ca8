"""What is drawn on pictures: where, how large, in which letters; and nothing over anything else."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import ImageDraw

from mdvision.errors import UserError
from mdvision.inference.drawing import draw_prediction, unwritable_names
from mdvision.inference.predictions import Classification, Detections
from mdvision.visualization import lettering
from mdvision.visualization.boxes import class_color, draw_boxes, place_label

GREY = 128
CLASSES = ('cat', 'dog', 'a bird with a name much longer than its picture is wide')


def detections(height, width, boxes, labels=None, scores=None, classes=CLASSES, image=True):
    count = len(boxes)
    return Detections(
        'a.jpg',
        classes,
        (height, width),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores if scores is not None else [0.9] * count, np.float32),
        np.array(labels if labels is not None else [0] * count, np.int64),
        image=np.full((height, width, 3), GREY, np.uint8) if image else None,
    )


def classification(height, width, scores, classes):
    image = np.full((height, width, 3), GREY, np.uint8)
    return Classification('a.jpg', classes, (height, width), np.array(scores, np.float32), image=image)


@pytest.fixture
def written(monkeypatch):
    """The texts that are drawn, each with its place and the height of its letters."""
    texts = []
    draw = ImageDraw.ImageDraw.text

    def text(self, at, text, **options):
        texts.append(SimpleNamespace(at=at, text=text, size=options['font'].size, font=options['font'].path))
        return draw(self, at, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, 'text', text)
    return texts


def test_a_picture_keeps_its_size_and_the_prediction_its_image(written):
    one = detections(240, 320, [[100, 100, 200, 180]], [1], [0.876])
    drawn = draw_prediction(one)
    assert drawn.shape == (240, 320, 3) and drawn.dtype == np.uint8
    assert np.all(one.image == GREY)
    for row, column in ((100, 150), (180, 150), (140, 100), (140, 200)):  # the middle of each side
        assert tuple(drawn[row, column]) == class_color(1)
    assert np.all(drawn[104:177, 104:197] == GREY)
    assert [text.text for text in written] == ['dog 0.88']


def test_nothing_found_is_the_picture_itself():
    assert np.all(draw_prediction(detections(48, 64, [])) == GREY)


@pytest.mark.parametrize(
    ('height', 'width', 'size', 'line'),
    [(120, 160, 10, 1), (480, 640, 12, 2), (960, 1280, 16, 2), (3000, 4000, 50, 8)],
)
def test_lines_and_letters_grow_with_the_picture(height, width, size, line, written):
    box = np.array([0.25, 0.5, 0.75, 0.75]) * [width, height, width, height]
    drawn = draw_prediction(detections(height, width, [box]))
    assert written[0].size == size
    column = drawn[:, width // 2]
    colored = np.all(column == class_color(0), axis=1)[height // 2 + 2 * size :]
    black = np.all(column == 0, axis=1)[height // 2 + 2 * size :]
    assert colored.sum() == line
    assert black.sum() == 2 * max(1, line // 3)


def test_a_long_name_is_shortened_and_its_score_is_not(written):
    draw_prediction(detections(120, 160, [[20, 60, 100, 100]], [2], [0.5]))
    assert written[0].text.startswith('a bird with') and written[0].text.endswith('… 0.50')


def test_crowded_labels_do_not_cover_each_other(monkeypatch):
    rectangles = []
    monkeypatch.setattr(
        'mdvision.visualization.boxes.place_label',
        lambda *args: rectangles.append(place_label(*args)) or rectangles[-1],
    )
    random = np.random.default_rng(0)
    boxes = random.random((100, 4)) * [240, 180, 60, 60]
    boxes[:, 2:] += boxes[:, :2] + 10
    draw_prediction(detections(240, 320, boxes, random.integers(0, 2, 100)))
    covered = np.zeros((240, 320), int)
    places = [one for one in rectangles if one is not None]
    for x1, y1, x2, y2 in places:
        assert 0 <= x1 < x2 <= 320 and 0 <= y1 < y2 <= 240
        covered[y1:y2, x1:x2] += 1
    assert rectangles[0] is not None  # the best one has its label
    assert 20 < len(places) < 100
    assert covered.max() == 1


def test_a_label_fits_on_a_picture_that_is_smaller_than_it():
    drawn = draw_prediction(detections(6, 200, [[10, 1, 60, 5]]))
    assert drawn.shape == (6, 200, 3)
    assert draw_prediction(detections(1, 1, [[0, 0, 1, 1]])).shape == (1, 1, 3)


def test_boxes_beyond_the_picture_are_drawn_at_its_edge():
    drawn = draw_prediction(detections(200, 300, [[-50, -20, 400, 900]]))
    assert tuple(drawn[100, 0]) == tuple(drawn[100, 299]) == tuple(drawn[199, 150]) == class_color(0)


def test_letters_that_no_font_has_become_the_number_of_the_class(written, monkeypatch):
    fonts = SimpleNamespace(ttflist=[])
    monkeypatch.setattr(lettering.font_manager, 'fontManager', fonts)
    lettering._file_for.cache_clear()
    classes = ('клетка', '細胞', 'Ψ')
    assert unwritable_names(classes) == ['細胞']
    draw_prediction(detections(240, 320, [[10, 40, 60, 90], [100, 40, 160, 90]], [1, 0], classes=classes))
    assert {one.text for one in written} == {'клетка 0.90', '#1 0.90'}
    lettering._file_for.cache_clear()


def test_letters_are_drawn_in_a_font_that_has_them(monkeypatch):
    """Any installed font but the last resort, whose letters are all the same box."""
    has = dict(dejavu={'a'}, resort={'a', '細'}, cjk={'a', '細'})
    fonts = [
        SimpleNamespace(name=name, style='normal', weight=400, fname=file)
        for name, file in (('Last Resort HE', 'resort'), ('A', 'dejavu'), ('Noto Sans CJK JP', 'cjk'))
    ]
    monkeypatch.setattr(lettering, '_letters', lambda file: {ord(c) for c in has.get(file, 'a')})
    monkeypatch.setattr(lettering.font_manager, 'fontManager', SimpleNamespace(ttflist=fonts))
    lettering._file_for.cache_clear()
    assert lettering._file_for('細 a') == 'cjk'
    monkeypatch.setattr(lettering.font_manager, 'fontManager', SimpleNamespace(ttflist=fonts[:2]))
    lettering._file_for.cache_clear()
    assert not lettering.has_letters('細 a')
    lettering._file_for.cache_clear()


@pytest.mark.parametrize(('height', 'width'), [(240, 320), (320, 240), (28, 28), (3000, 4000), (1, 5)])
def test_the_strip_of_a_classifier_covers_nothing(height, width):
    one = classification(height, width, [0.7, 0.2, 0.1], CLASSES)
    drawn = draw_prediction(one)
    factor = max(1, 160 // max(height, width))
    assert np.all(drawn[: height * factor, : width * factor] == GREY)
    strip = drawn[height * factor :] if width > height else drawn[:, width * factor :]
    track = np.all(strip == 0xE4, axis=2).sum(axis=1)
    for label, share in enumerate((0.7, 0.2, 0.1)):
        filled = np.all(strip == class_color(label), axis=2).sum(axis=1)
        row = filled.argmax()
        assert filled[row] / (filled[row] + track[row]) == pytest.approx(share, abs=0.01)


def test_the_strip_has_the_best_classes_first_and_at_most_ten(written):
    names = tuple(f'class {index}' for index in range(20))
    scores = np.arange(20) / 190
    draw_prediction(classification(240, 320, scores, names), top=15)
    shown = [one.text for one in written if one.text.startswith('class')]
    assert shown == [f'class {index}' for index in range(19, 9, -1)]
    written.clear()
    draw_prediction(classification(240, 320, scores, names), top=2)
    assert [one.text for one in written] == ['class 19', '0.10', 'class 18', '0.09']


def test_the_strip_of_one_size_of_picture_has_one_size():
    """So that it can be a frame of a video."""
    sizes = {
        draw_prediction(classification(90, 160, scores, CLASSES)).shape
        for scores in ([1, 0, 0], [0.1, 0.2, 0.7], [0, 1, 0])
    }
    assert len(sizes) == 1


def test_a_prediction_without_its_image_says_what_is_missing():
    with pytest.raises(UserError, match=r'a\.jpg: .*no image to draw on.*images=True'):
        draw_prediction(detections(9, 9, [], image=False))


def test_the_sheets_draw_a_label_without_a_score(written):
    from PIL import Image

    draw_boxes(Image.new('RGB', (200, 200)), np.array([[50, 50, 90, 90]]), [0], ['cat'])
    assert [one.text for one in written] == ['cat']


def test_supervision_gets_the_same_objects(monkeypatch):
    library = ModuleType('supervision')
    library.Detections = lambda **given: given
    monkeypatch.setitem(sys.modules, 'supervision', library)
    one = detections(48, 64, [[1, 2, 30, 40], [5, 6, 7, 8]], [1, 0], [0.9, 0.4])
    given = one.to_supervision()
    assert np.array_equal(given['xyxy'], one.boxes)
    assert np.array_equal(given['confidence'], one.scores)
    assert given['class_id'].tolist() == [1, 0]
    assert given['data']['class_name'].tolist() == ['dog', 'cat']
    assert detections(48, 64, []).to_supervision()['xyxy'].shape == (0, 4)


def test_supervision_itself_takes_them():
    supervision = pytest.importorskip('supervision')
    found = detections(48, 64, [[1, 2, 30, 40], [5, 6, 7, 8]], [1, 0], [0.9, 0.4]).to_supervision()
    assert isinstance(found, supervision.Detections) and len(found) == 2
    assert found.data['class_name'].tolist() == ['dog', 'cat']
    assert len(detections(48, 64, []).to_supervision()) == 0


def test_without_supervision_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(UserError, match='pip install supervision'):
        detections(48, 64, []).to_supervision()
