"""The prediction sheet: where things are drawn, in which color, and what is refused."""

import cv2
import numpy as np
import pytest
from PIL import ImageDraw

from mdvision.errors import UserError
from mdvision.visualization.boxes import class_color, place_label
from mdvision.visualization.prediction_sheet import draw_prediction_sheet, panel_size

CLASSES = ('circle', 'square', 'dining table')
GREY = 128
PANEL, GAP, MARGIN, CAPTION, LEGEND = 340, 8, 22, 22, 24
PANEL_TOP = MARGIN + LEGEND + MARGIN + 2 * CAPTION


def sample_of(height=120, width=160, **changes):
    return {
        'image': np.full((height, width, 3), GREY, dtype=np.uint8),
        'gt_boxes': np.zeros((0, 4)),
        'gt_labels': np.zeros(0, dtype=int),
        'pred_boxes': np.zeros((0, 4)),
        'pred_scores': np.zeros(0),
        'pred_labels': np.zeros(0, dtype=int),
        'title': 'an image',
        **changes,
    }


def drawn(tmp_path, samples, **options):
    """The sheet as an RGB array."""
    return cv2.imread(str(draw_prediction_sheet(samples, CLASSES, tmp_path / 'sheet.png', **options)))[
        :, :, ::-1
    ]


def panels(sheet, height=255):
    """The ground-truth and the prediction panel of the first sample."""
    rows = slice(PANEL_TOP, PANEL_TOP + height)
    return sheet[rows, MARGIN : MARGIN + PANEL], sheet[rows, MARGIN + PANEL + GAP : MARGIN + 2 * PANEL + GAP]


def share_of(panel, color):
    return np.mean(np.all(panel == np.array(color), axis=2))


def written_texts(monkeypatch):
    texts = []
    write = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        'text',
        lambda self, at, text, **k: (texts.append(text), write(self, at, text, **k)),
    )
    return texts


def test_sheet_is_a_png_of_the_expected_size_and_its_path_comes_back(tmp_path):
    out = draw_prediction_sheet([sample_of()] * 3, CLASSES, tmp_path / 'new' / 'sheet.png')
    assert out == tmp_path / 'new' / 'sheet.png'
    assert out.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    pair_height = 2 * CAPTION + 255  # 160x120 becomes 340x255
    height = MARGIN + LEGEND + 2 * (MARGIN + pair_height) + MARGIN
    width = MARGIN + 2 * (2 * PANEL + GAP + MARGIN)
    assert cv2.imread(str(out)).shape == (height, width, 3)


def test_a_single_sample_takes_one_column(tmp_path):
    assert drawn(tmp_path, [sample_of()]).shape[1] == 2 * PANEL + GAP + 2 * MARGIN


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((120, 160), (255, 340)),
        ((375, 500), (255, 340)),
        ((500, 250), (340, 170)),
        ((3000, 4000), (255, 340)),
    ],
)
def test_small_images_are_enlarged_and_large_ones_reduced_to_a_panel(size, expected):
    assert panel_size(*size) == expected


def test_an_image_without_boxes_is_drawn_untouched_in_both_panels(tmp_path):
    truth, prediction = panels(drawn(tmp_path, [sample_of()]))
    assert np.all(truth == GREY)
    assert np.all(prediction == GREY)


def test_a_box_is_drawn_where_it_is_and_its_inside_is_left_alone(tmp_path):
    # Twice the panel's size, so panel pixel = image pixel / 2
    sample = sample_of(510, 680, gt_boxes=[[200, 200, 400, 300]], gt_labels=[1])
    truth, prediction = panels(drawn(tmp_path, [sample]))
    color = class_color(1)
    for row, column in ((100, 150), (150, 150), (125, 100), (125, 200)):  # the middle of each side
        assert tuple(truth[row, column]) == color
    assert tuple(truth[99, 180]) == (0, 0, 0)  # the rim that shows the line on a background of its color
    assert np.all(truth[104:147, 104:197] == GREY)
    assert np.all(truth[160:] == GREY)
    assert np.all(prediction == GREY)


def test_a_class_has_one_colour_in_both_panels_and_another_class_another(tmp_path):
    box = [[40, 40, 100, 90]]
    sample = sample_of(gt_boxes=box, gt_labels=[0], pred_boxes=box, pred_scores=[0.9], pred_labels=[0])
    truth, prediction = panels(drawn(tmp_path, [sample]))
    assert share_of(truth, class_color(0)) > 0.01
    assert share_of(prediction, class_color(0)) > 0.01
    sample['pred_labels'] = [1]
    truth, prediction = panels(drawn(tmp_path, [sample]))
    assert share_of(prediction, class_color(0)) == 0
    assert share_of(prediction, class_color(1)) > 0.01


def test_difficult_objects_have_gaps_in_their_lines(tmp_path):
    sample = sample_of(510, 680, gt_boxes=[[200, 200, 400, 300]], gt_labels=[0])
    solid, _ = panels(drawn(tmp_path, [sample]))
    dashed, _ = panels(drawn(tmp_path, [{**sample, 'gt_difficult': [True]}]))
    bottom = slice(104, 197)
    assert share_of(solid[150:151, bottom], class_color(0)) == 1
    assert 0.3 < share_of(dashed[150:151, bottom], class_color(0)) < 0.7
    assert share_of(dashed[150:151, bottom], (GREY, GREY, GREY)) > 0.2


def test_labels_have_the_class_and_predictions_their_score_too(tmp_path, monkeypatch):
    texts = written_texts(monkeypatch)
    box = [[40, 40, 100, 90]]
    sample = sample_of(gt_boxes=box, gt_labels=[2], pred_boxes=box, pred_scores=[0.876], pred_labels=[1])
    drawn(tmp_path, [sample])
    assert {'dining table', 'square 0.88', 'an image', 'ground truth: 1', 'prediction: 1'} <= set(texts)


def test_predictions_below_the_score_are_neither_drawn_nor_counted(tmp_path, monkeypatch):
    texts = written_texts(monkeypatch)
    two = sample_of(
        pred_boxes=[[10, 40, 60, 90], [90, 40, 150, 90]], pred_scores=[0.3, 0.299], pred_labels=[0, 1]
    )
    _, prediction = panels(drawn(tmp_path, [two], score_thr=0.3))
    assert share_of(prediction, class_color(0)) > 0.01
    assert share_of(prediction, class_color(1)) == 0
    assert 'prediction: 1' in texts
    assert 'square' not in texts  # nor is the class in the legend


def test_legend_has_the_classes_that_are_drawn_with_their_colours(tmp_path, monkeypatch):
    texts = written_texts(monkeypatch)
    sheet = drawn(tmp_path, [sample_of(gt_boxes=[[10, 40, 60, 90]], gt_labels=[1])])
    legend = sheet[MARGIN : MARGIN + LEGEND]
    assert share_of(legend, class_color(1)) > 0
    assert share_of(legend, class_color(0)) == 0
    assert texts.count('square') == 2  # on its box and in the legend
    assert 'circle' not in texts


def test_legend_explains_dashes_only_where_there_are_some(tmp_path, monkeypatch):
    texts = written_texts(monkeypatch)
    sample = sample_of(gt_boxes=[[10, 40, 60, 90]], gt_labels=[1])
    drawn(tmp_path, [sample], score_thr=0.25)
    assert 'predictions with a score of at least 0.25' in texts
    drawn(tmp_path, [{**sample, 'gt_difficult': np.array([True])}])
    assert 'predictions with a score of at least 0.3; dashed: difficult' in texts


def test_labels_of_neighbouring_boxes_do_not_hide_each_other():
    taken = []
    for _ in range(4):
        taken.append(place_label(np.array([100, 100, 200, 200]), (60, 16), (340, 255), taken))
    covered = np.zeros((255, 340), int)
    for x1, y1, x2, y2 in taken:
        covered[int(y1) : int(y2), int(x1) : int(x2)] += 1
    assert covered.max() == 1 and covered.sum() == 4 * 60 * 16


@pytest.mark.parametrize('box', [[0, 0, 339, 254], [330, 0, 339, 9], [0, 250, 9, 254], [300, 240, 339, 254]])
def test_labels_stay_inside_the_panel(box):
    x1, y1, x2, y2 = place_label(np.array(box), (60, 16), (340, 255), [])
    assert 0 <= x1 < x2 <= 340
    assert 0 <= y1 < y2 <= 255


def test_boxes_outside_the_image_and_without_area_are_drawn_at_its_edge(tmp_path):
    boxes = [[-50, -50, 400, 300], [80, 60, 80, 60], [500, 500, 600, 600]]
    truth, _ = panels(drawn(tmp_path, [sample_of(gt_boxes=boxes, gt_labels=[0, 1, 2])]))
    for label in range(3):
        assert share_of(truth, class_color(label)) > 0
    for row, column in ((0, 200), (254, 200), (200, 0), (200, 339)):
        assert tuple(truth[row, column]) == class_color(0)


def test_the_given_image_is_not_changed(tmp_path):
    sample = sample_of(255, 340, gt_boxes=[[20, 40, 120, 180]], gt_labels=[0])
    drawn(tmp_path, [sample])
    assert np.all(sample['image'] == GREY)


def test_colours_are_distinct_for_twenty_classes():
    assert len({class_color(label) for label in range(20)}) == 20
    assert class_color(20) == class_color(0)


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(UserError, match='at least one sample'):
        draw_prediction_sheet([], CLASSES, tmp_path / 'sheet.png')


@pytest.mark.parametrize(
    'image', [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((3, 9, 9), np.uint8)]
)
def test_an_image_that_is_not_rgb_of_uint8_is_refused(tmp_path, image):
    with pytest.raises(UserError, match=r'Sample 1: expected an RGB image \(H, W, 3\) of uint8'):
        draw_prediction_sheet([sample_of(), sample_of(image=image)], CLASSES, tmp_path / 'sheet.png')


def test_boxes_and_labels_of_different_number_are_refused(tmp_path):
    with pytest.raises(UserError, match='Sample 0: 1 gt_boxes, but 2 gt_labels'):
        drawn(tmp_path, [sample_of(gt_boxes=[[0, 0, 9, 9]], gt_labels=[0, 1])])


def test_boxes_without_a_score_each_are_refused(tmp_path):
    with pytest.raises(UserError, match='Sample 0: 1 pred_boxes, but 0 pred_scores'):
        drawn(tmp_path, [sample_of(pred_boxes=[[0, 0, 9, 9]], pred_labels=[0])])


def test_a_label_without_a_class_is_refused(tmp_path):
    wrong = sample_of(pred_boxes=[[0, 0, 9, 9]], pred_scores=[0.9], pred_labels=[3])
    with pytest.raises(UserError, match='pred_labels from 3 to 3, but there are 3 classes'):
        drawn(tmp_path, [wrong])
