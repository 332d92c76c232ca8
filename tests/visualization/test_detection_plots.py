"""Confusion matrix and precision-recall curves: what is written in them, and where the lines lie."""

import csv
from itertools import pairwise

import cv2
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from mdvision.errors import UserError
from mdvision.evaluation import evaluate_voc
from mdvision.visualization.detection_plots import (
    draw_confusion_matrix,
    draw_pr_curves,
    write_confusion_matrix,
    write_pr_curves,
)

CLASSES = ('cat', 'dining table')
COUNTS = np.array([[30, 2, 8], [0, 5, 15], [4, 0, 0]])


def voc_of(num_classes, present=None, found=0.8):
    """A result of 20 images with an object of each present class, of which this share is found.

    One detection of the first class in each image is on no object, unless nothing is found.
    """
    rng = np.random.default_rng(0)
    present = np.arange(num_classes) if present is None else np.array(present)
    objects = np.stack([100.0 * present, 0 * present, 100 * present + 50, 0 * present + 50], axis=1)
    images = []
    for _ in range(20):
        hits = np.flatnonzero(rng.random(len(present)) < found)
        boxes, labels = objects[hits], present[hits]
        if found:
            boxes = np.concatenate([boxes, [[0, 500, 50, 550]]])
            labels = np.append(labels, present[0])
        images.append(
            {
                'gt_boxes': objects,
                'gt_labels': present,
                'gt_difficult': np.zeros(len(present), dtype=bool),
                'pred_boxes': boxes,
                'pred_labels': labels,
                'pred_scores': rng.random(len(labels)),
            }
        )
    return evaluate_voc(images, num_classes)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, in order."""
    saved = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda self, *a, **k: (saved.append(self), save(self, *a, **k)))
    return saved


def names(count):
    return tuple(f'class {i}' for i in range(count))


def texts_of(axes):
    return {(t.get_position()): t.get_text() for t in axes.texts}


def legend_of(axes):
    legend = axes.get_legend()
    return {text.get_text().split('  ')[0].splitlines()[0]: text.get_text() for text in legend.get_texts()}


# --- confusion matrix ---


def test_each_count_and_its_share_of_the_row_stand_in_their_cell(figures, tmp_path):
    draw_confusion_matrix(COUNTS, CLASSES, tmp_path / 'new' / 'matrix.png', 'score ≥ 0.3')
    axes = figures[0].axes[0]
    texts = texts_of(axes)
    assert texts[0, 0] == '30\n75 %'  # texts are at (column, row)
    assert texts[1, 0] == '2\n5 %'
    assert texts[2, 1] == '15\n75 %'
    assert texts[0, 2] == '4\n100 %'
    assert (0, 1) not in texts  # a cell without anything is empty
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        'cat (40)',
        'dining table (20)',
        'background (4)',
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ['cat', 'dining table', 'missed']
    np.testing.assert_allclose(axes.images[0].get_array()[0], [0.75, 0.05, 0.2], rtol=0, atol=1e-12)


def test_the_summary_below_the_title_counts_objects_and_detections(figures, tmp_path):
    draw_confusion_matrix(COUNTS, CLASSES, tmp_path / 'matrix.png', 'score ≥ 0.3')
    assert figures[0].axes[0].get_title(loc='left').splitlines() == [
        'score ≥ 0.3',
        '37 of 60 objects detected, 2 of them as another class; 4 detections on background',
    ]


@pytest.mark.parametrize(
    ('count', 'text'), [(1, '7\n100 %'), (10, '7\n100 %'), (20, '7'), (30, '7'), (31, None), (80, None)]
)
def test_cells_have_shares_up_to_10_classes_and_counts_up_to_30(figures, tmp_path, count, text):
    counts = np.diag([*[7] * count, 0])
    picture = cv2.imread(str(draw_confusion_matrix(counts, names(count), tmp_path / 'matrix.png', '')))
    axes = figures[0].axes[0]
    assert texts_of(axes).get((0, 0)) == text
    assert len(axes.get_yticklabels()) == count + 1
    assert max(picture.shape) < 2000


def test_500_classes_fit_on_the_page_and_have_as_many_names_as_there_is_room_for(figures, tmp_path):
    out = draw_confusion_matrix(np.eye(501, dtype=int), names(500), tmp_path / 'matrix.png', '')
    assert max(cv2.imread(str(out)).shape) < 3200
    labels = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert 100 < len(labels) < 300
    assert labels[:2] == ['class 0 (1)', 'class 3 (1)']


def test_labels_do_not_hide_each_other(figures, tmp_path):
    for count in (3, 80):
        draw_confusion_matrix(np.eye(count + 1, dtype=int), names(count), tmp_path / 'matrix.png', '')
        axes = figures[-1].axes[0]
        heights = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(heights))
        if axes.get_xticklabels()[0].get_rotation() in (0, 90):
            widths = [label.get_window_extent() for label in axes.get_xticklabels()]
            assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(widths))


def test_long_names_are_shortened_in_the_picture_and_whole_in_the_table(figures, tmp_path):
    long_name = 'non-small-cell lung carcinoma'
    draw_confusion_matrix(COUNTS, (long_name, 'b'), tmp_path / 'matrix.png', '')
    assert figures[0].axes[0].get_xticklabels()[0].get_text() == 'non-small-cell lung c…'
    assert long_name in write_confusion_matrix(COUNTS, (long_name, 'b'), tmp_path / 'm.csv').read_text()


def test_the_table_of_the_matrix_is_what_was_counted(tmp_path):
    out = write_confusion_matrix(COUNTS, ('cat, wild', 'dog'), tmp_path / 'new' / 'matrix.csv')
    with out.open(newline='') as file:
        assert list(csv.reader(file)) == [
            ['true', 'cat, wild', 'dog', 'missed'],
            ['cat, wild', '30', '2', '8'],
            ['dog', '0', '5', '15'],
            ['background', '4', '0', '0'],
        ]


@pytest.mark.parametrize('function', [draw_confusion_matrix, write_confusion_matrix])
def test_counts_for_other_classes_are_refused(function, tmp_path):
    more = ('',) if function is draw_confusion_matrix else ()
    with pytest.raises(UserError, match=r'expected \(4, 4\) counts for 3 classes.*got \(3, 3\)'):
        function(COUNTS, names(3), tmp_path / 'matrix', *more)


# --- precision and recall ---


def area_below(line):
    x, y = line.get_data()
    return float(np.trapezoid(y, x) if hasattr(np, 'trapezoid') else np.trapz(y, x))


@pytest.mark.parametrize('count', [1, 3, 10])
def test_the_area_below_each_line_is_the_ap_that_the_legend_gives(figures, tmp_path, count):
    voc = voc_of(count)
    draw_pr_curves(voc, names(count), tmp_path / 'curves.png', '')
    axes = figures[0].axes[0]
    # One line and one dot a class; before them the lines of equal F1.
    lines = [line for line in axes.get_lines() if line.get_zorder() == 3][:count]
    assert len(lines) == count
    for index, line in enumerate(lines):
        assert area_below(line) == pytest.approx(voc.ap_area[index], abs=1e-12)
        assert f'AP {voc.ap_area[index]:.3f}' in legend_of(axes)[f'class {index}']
    colors = {to_rgb(line.get_color()) for line in lines}
    assert len(colors) == count
    assert ('all classes together' in legend_of(axes)) is (count > 1)


def test_the_dot_is_at_the_best_f1_and_the_legend_has_its_threshold_rounded_down(figures, tmp_path):
    voc = voc_of(2)
    draw_pr_curves(voc, CLASSES, tmp_path / 'curves.png', '')
    axes = figures[0].axes[0]
    dots = [line.get_data() for line in axes.get_lines() if line.get_marker() == 'o']
    assert len(dots) == 3
    for curve, (x, y), name in zip(
        [*voc.curves, voc.pooled], dots, [*CLASSES, 'all classes together'], strict=True
    ):
        assert (x[0], y[0]) == (curve.recall[curve.best], curve.precision[curve.best])
        line = legend_of(axes)[name].splitlines()[1]
        assert line.startswith(f'best F1 {curve.f1.max():.3f} at score ≥ ')
        threshold = float(line.rpartition(' ')[2])
        assert 0 <= curve.scores[curve.best] - threshold < 0.001


def test_many_classes_show_the_best_and_worst_three_the_mean_and_how_many_others(figures, tmp_path):
    voc = voc_of(20, present=range(18))
    draw_pr_curves(voc, names(20), tmp_path / 'curves.png', '')
    axes = figures[0].axes[0]
    legend = legend_of(axes)
    ranked = np.argsort(-voc.ap_area[:18], kind='stable')
    chosen = [f'class {i}' for i in (*ranked[:3], *ranked[-3:])]
    assert list(legend) == [
        *chosen,
        '12 other classes',
        '2 without objects',
        'mean of 18 classes',
        'all classes together',
    ]
    mean = next(line for line in axes.get_lines() if line.get_label().startswith('mean'))
    assert area_below(mean) == pytest.approx(voc.mean_area, abs=2e-3)  # 1001 recalls


def test_classes_without_objects_and_results_without_detections_are_said_in_words(figures, tmp_path):
    draw_pr_curves(voc_of(3, present=[0, 2]), names(3), tmp_path / 'curves.png', '')
    assert legend_of(figures[0].axes[0])['class 1'] == 'class 1  no objects'
    for count in (1, 3, 20):
        draw_pr_curves(voc_of(count, found=0), names(count), tmp_path / 'curves.png', '')
        assert 'no object was found' in texts_of(figures[-1].axes[0]).values()
        assert 'AP 0.000' in legend_of(figures[-1].axes[0])['class 0']
        draw_pr_curves(evaluate_voc([], count), names(count), tmp_path / 'curves.png', '')
        assert 'no objects to find' in texts_of(figures[-1].axes[0]).values()


def test_the_table_of_the_curves_has_a_row_for_each_threshold(tmp_path):
    voc = voc_of(2)
    with write_pr_curves(voc, CLASSES, tmp_path / 'curves.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ['class', 'score', 'precision', 'recall', 'f1']
    for name, curve in zip([*CLASSES, 'all classes'], [*voc.curves, voc.pooled], strict=True):
        own = [row for row in rows if row['class'] == name]
        assert [float(row['score']) for row in own] == curve.scores.tolist()
        for key in ('precision', 'recall', 'f1'):
            values = [float(row[key]) for row in own]
            np.testing.assert_allclose(values, getattr(curve, key), rtol=0, atol=5.1e-7)


@pytest.mark.parametrize('function', [draw_pr_curves, write_pr_curves])
def test_a_result_of_other_classes_is_refused(function, tmp_path):
    more = ('',) if function is draw_pr_curves else ()
    with pytest.raises(UserError, match='expected 2 class names, got 3'):
        function(voc_of(2), names(3), tmp_path / 'curves', *more)


def test_pictures_are_the_same_each_time_and_leave_nothing_in_pyplot(tmp_path):
    for name in ('first', 'second'):
        draw_confusion_matrix(COUNTS, CLASSES, tmp_path / f'{name}_matrix.png', 'x')
        draw_pr_curves(voc_of(3), names(3), tmp_path / f'{name}_curves.png', 'x')
    for kind in ('matrix', 'curves'):
        first, second = (tmp_path / f'{name}_{kind}.png' for name in ('first', 'second'))
        assert first.read_bytes() == second.read_bytes()
    assert pyplot.get_fignums() == []
