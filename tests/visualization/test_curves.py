"""Learning curves: what is read from the log, where it lies on the axis, and what is in the picture."""

import json
import math

import cv2
import pytest
from matplotlib.figure import Figure

from mdvision.errors import UserError
from mdvision.visualization.curves import draw_curves, epoch_positions, headline_metrics
from mdvision.visualization.palette import OTHERS
from mdvision.work_dir.scalars import read_scalars


def train_row(iteration, epoch=None, **values):
    row = {'lr': 0.01, 'loss': 2.0, 'time': 0.1, 'iter': iteration, 'step': iteration, **values}
    return row if epoch is None else {**row, 'epoch': epoch}


def val_row(step, **values):
    return {**values, 'data_time': 0.01, 'time': 0.1, 'step': step}


def write_log(path, rows):
    path.write_text('\n'.join(json.dumps(row) for row in rows) + '\n')
    return path


def drawn(monkeypatch, tmp_path, scalars):
    """Draws the curves and returns the two axes of the figure: losses and metrics."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    draw_curves(*read_scalars(scalars), tmp_path / 'curves.png')
    return figures[0].axes


def lines_of(axes):
    """The labelled lines of an axes: {label: (xs, ys)}."""
    labelled = [line for line in axes.get_lines() if not line.get_label().startswith('_')]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in labelled}


DETECTION = [
    train_row(10, 1, loss=3.0, loss_cls=2.0, loss_bbox=1.0),
    train_row(20, 1, loss=2.0, loss_cls=1.5, loss_bbox=0.5),
    val_row(1, **{'voc12/mAP50': 0.5, 'coco/mAP': 0.2, 'coco/mAP_s': math.nan, 'voc12/AP50_cat': 0.5}),
    train_row(30, 2, loss=1.0, loss_cls=0.75, loss_bbox=0.25),
    train_row(40, 2, loss=0.8, loss_cls=0.6, loss_bbox=0.2),
    val_row(2, **{'voc12/mAP50': 0.75, 'coco/mAP': 0.4, 'coco/mAP_s': math.nan, 'voc12/AP50_cat': 0.75}),
    train_row(50, 3, loss=0.7, loss_cls=0.5, loss_bbox=0.2),
    train_row(60, 3, loss=0.6, loss_cls=0.4, loss_bbox=0.2),
    val_row(3, **{'voc12/mAP50': 0.625, 'coco/mAP': 0.3, 'coco/mAP_s': math.nan, 'voc12/AP50_cat': 0.625}),
]


def test_lines_with_an_iteration_are_training_and_the_others_validation(tmp_path):
    log = write_log(tmp_path / 'scalars.json', DETECTION[:3])
    assert 'NaN' in log.read_text()
    train_rows, val_rows = read_scalars(log)
    assert train_rows == DETECTION[:2]
    assert len(val_rows) == 1
    assert math.isnan(val_rows[0].pop('coco/mAP_s'))
    assert val_rows[0] == {'voc12/mAP50': 0.5, 'coco/mAP': 0.2, 'voc12/AP50_cat': 0.5, **val_row(1)}


def test_a_resumed_run_replaces_what_it_trained_again(tmp_path):
    stopped = [train_row(10, 1), val_row(1, m=0.1), train_row(20, 2), train_row(25, 2), val_row(2, m=0.2)]
    resumed = [train_row(18, 2), train_row(28, 2), val_row(2, m=0.9), train_row(38, 3)]
    paths = [write_log(tmp_path / 'a.json', stopped), write_log(tmp_path / 'b.json', resumed)]
    train_rows, val_rows = read_scalars(paths)
    assert [row['iter'] for row in train_rows] == [10, 18, 28, 38]
    assert [(row['step'], row['m']) for row in val_rows] == [(1, 0.1), (2, 0.9)]


def test_the_incomplete_last_line_of_a_killed_run_is_left_out(tmp_path):
    log = tmp_path / 'scalars.json'
    log.write_text(json.dumps(train_row(10, 1)) + '\n{"loss": 1.0, "it')
    assert read_scalars(log) == ([train_row(10, 1)], [])


@pytest.mark.parametrize('text', ['', '\n\n', '{"loss": 1'])
def test_a_file_without_a_complete_line_is_refused_by_name(tmp_path, text):
    log = tmp_path / 'scalars.json'
    log.write_text(text)
    with pytest.raises(UserError, match=r'scalars\.json: the file has no complete line'):
        draw_curves(*read_scalars(log), tmp_path / 'curves.png')
    assert not (tmp_path / 'curves.png').exists()


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r'nowhere\.json: no such file'):
        read_scalars(tmp_path / 'nowhere.json')


def test_no_files_at_all_are_refused():
    with pytest.raises(UserError, match='empty list'):
        read_scalars([])


@pytest.mark.parametrize('line', ['Epoch 1 loss 2.0', '[1, 2]'])
def test_another_kind_of_file_is_refused_with_its_line(tmp_path, line):
    log = tmp_path / 'train.log'
    log.write_text(json.dumps(train_row(10, 1)) + f'\n{line}\n' + json.dumps(train_row(20, 1)))
    with pytest.raises(UserError, match=r'train\.log: line 2 is not'):
        read_scalars(log)


def test_epochs_are_fractions_of_the_iterations_that_an_epoch_has():
    rows = [train_row(iteration, math.ceil(iteration / 20)) for iteration in (10, 20, 30, 40, 50, 60)]
    assert epoch_positions(rows) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_no_line_leaves_its_own_epoch_where_the_log_skips_the_end_of_epochs():
    # 107 iterations an epoch, logged at its 50th and 100th
    rows = [train_row(107 * epoch + i, epoch + 1) for epoch in range(6) for i in (50, 100)]
    positions = epoch_positions(rows)
    assert positions == sorted(positions)
    for row, position in zip(rows, positions, strict=True):
        assert row['epoch'] - 1 <= position <= row['epoch']
        assert position == pytest.approx(row['iter'] / 107, abs=0.1)


def test_no_line_leaves_its_own_epoch_where_a_resumed_run_has_shorter_ones():
    # 100 iterations an epoch, then 50 with the double batch
    rows = [train_row(*at) for at in ((100, 1), (200, 2), (250, 3), (275, 4), (300, 4))]
    assert epoch_positions(rows) == [1.0, 2.0, 2.5, 3.0, 3.0]


def test_lines_without_epochs_are_placed_by_iteration():
    assert epoch_positions([train_row(100), train_row(200)]) == [100.0, 200.0]


def test_headlines_are_the_known_ones_without_the_numbers_of_single_classes():
    assert headline_metrics([DETECTION[2]]) == ['voc12/mAP50', 'coco/mAP']
    assert headline_metrics([val_row(1, **{'accuracy/top1': 71.0, 'single-label/f1-score': 60.0})]) == [
        'accuracy/top1'
    ]


def test_unknown_metrics_are_drawn_as_they_come_without_times_losses_and_texts():
    assert headline_metrics([val_row(1, val_loss=1.0, iou=0.3, name='x', ok=True, dice=0.4)]) == [
        'iou',
        'dice',
    ]


def test_picture_is_a_png_of_1200_by_500_and_its_path_comes_back(tmp_path):
    log = write_log(tmp_path / 'scalars.json', DETECTION)
    out = draw_curves(*read_scalars(str(log)), str(tmp_path / 'new' / 'curves.png'))
    assert out == tmp_path / 'new' / 'curves.png'
    assert out.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    assert cv2.imread(str(out)).shape == (500, 1200, 3)


def test_losses_are_drawn_over_epochs_with_the_total_thickest(monkeypatch, tmp_path):
    left, _ = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', DETECTION))
    epochs = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert lines_of(left) == {
        'loss': (epochs, [3.0, 2.0, 1.0, 0.8, 0.7, 0.6]),
        'loss_cls': (epochs, [2.0, 1.5, 0.75, 0.6, 0.5, 0.4]),
        'loss_bbox': (epochs, [1.0, 0.5, 0.25, 0.2, 0.2, 0.2]),
    }
    width = {line.get_label(): line.get_linewidth() for line in left.get_lines()}
    assert width['loss'] > 1.5 * width['loss_cls']
    assert left.get_xlabel() == 'epoch'


def test_metrics_say_their_best_and_their_last_value(monkeypatch, tmp_path):
    _, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', DETECTION))
    assert lines_of(right) == {
        'voc12/mAP50: best 0.750 (epoch 2), last 0.625': ([1, 2, 3], [0.5, 0.75, 0.625]),
        'coco/mAP: best 0.400 (epoch 2), last 0.300': ([1, 2, 3], [0.2, 0.4, 0.3]),
    }
    assert right.get_ylim() == (0, 1)
    assert {text.get_text() for text in right.texts} == {'0.625', '0.300'}


def test_percentages_get_an_axis_to_100(monkeypatch, tmp_path):
    rows = [train_row(10, 1), val_row(1, **{'accuracy/top1': 12.5}), val_row(2, **{'accuracy/top1': 62.5})]
    _, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    assert right.get_ylim() == (0, 100)
    assert list(lines_of(right)) == ['accuracy/top1: best 62.5 (epoch 2), last 62.5']


def test_last_values_that_are_near_each_other_are_written_apart(monkeypatch, tmp_path):
    rows = [val_row(1, **{'voc12/mAP50': 0.31, 'coco/mAP': 0.30})]
    _, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    low, high = sorted(text.xy[1] for text in right.texts)
    assert high - low > 0.045


def test_validation_losses_are_dashed_and_on_the_left(monkeypatch, tmp_path):
    rows = [train_row(10, 1), val_row(1, val_loss=2.5), train_row(20, 2), val_row(2, val_loss=1.5)]
    left, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    assert lines_of(left)['val_loss'] == ([1, 2], [2.5, 1.5])
    solid = {line.get_label(): line.get_linestyle() == '-' for line in left.get_lines()}
    assert solid == {'loss': True, 'val_loss': False}
    assert lines_of(right) == {}


def test_validation_losses_of_a_detector_have_the_colours_of_the_training(monkeypatch, tmp_path):
    """One name for all parts, and a legend that leaves the axes their width."""
    parts = ('loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox')
    values = {name: 0.5 + index for index, name in enumerate(parts)}
    rows = [train_row(10, 1, **values), train_row(20, 2, **values)]
    for step in (1, 2):
        losses = {f'val/{name}': value + step / 10 for name, value in values.items()}
        rows.append(val_row(step, **{'val/loss': 3.0 - step, 'voc12/mAP50': 0.5}, **losses))
    left, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    assert list(lines_of(left)) == [
        'loss', *parts, 'dashed: validation', 'val/loss: lowest 1.000 (epoch 2), last 1.000'
    ]  # fmt: skip
    solid = {line.get_label(): line.get_color() for line in left.get_lines() if line.get_linestyle() == '-'}
    dashed = {
        tuple(line.get_ydata()): line.get_color() for line in left.get_lines() if line.get_linestyle() == '--'
    }
    for name, value in values.items():
        assert dashed[value + 0.1, value + 0.2] == solid[name]
    assert dashed[2.0, 1.0] == solid['loss']
    assert abs(left.get_position().width - right.get_position().width) < 0.1


def test_a_run_without_validation_says_so(monkeypatch, tmp_path):
    left, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', DETECTION[:2]))
    assert len(lines_of(left)) == 3
    assert [text.get_text() for text in right.texts] == ['no validation results in the log']


def test_a_single_point_has_a_marker_so_that_it_is_seen(monkeypatch, tmp_path):
    left, _ = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', DETECTION[:1]))
    assert {line.get_marker() for line in left.get_lines()} == {'o'}


def test_validation_alone_says_that_there_are_no_losses(monkeypatch, tmp_path):
    left, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', DETECTION[2:3]))
    assert [text.get_text() for text in left.texts] == ['no training losses in the log']
    assert len(lines_of(right)) == 2


def test_values_that_are_not_finite_are_left_out(monkeypatch, tmp_path):
    rows = [train_row(10, 1, loss=1.0), train_row(20, 1, loss=math.nan), train_row(30, 2, loss=math.inf)]
    rows.append(val_row(1, **{'voc12/mAP50': math.nan}))
    left, right = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    assert lines_of(left)['loss'][1] == [1.0]
    assert list(lines_of(right)) == ['voc12/mAP50: no finite value']


def test_more_parts_than_colours_are_grey_under_one_name(monkeypatch, tmp_path):
    parts = {f'loss_{i:02d}': 20.0 - i for i in range(12)}
    rows = [train_row(10, 1, **parts), train_row(20, 1, **parts)]
    left, _ = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    assert list(lines_of(left)) == ['loss', *(f'loss_{i:02d}' for i in range(8)), '4 smaller parts']
    assert sum(line.get_color() == OTHERS for line in left.get_lines()) == 4


@pytest.mark.fault('D35')
def test_the_best_of_an_error_is_the_lowest(monkeypatch, tmp_path):
    rows = [train_row(1, 1), *(val_row(n, top1_error=value) for n, value in ((1, 0.5), (2, 0.25), (3, 0.4)))]
    _, metrics = drawn(monkeypatch, tmp_path, write_log(tmp_path / 'scalars.json', rows))
    labels = list(lines_of(metrics))
    assert labels == ['top1_error: best 0.250 (epoch 2), last 0.400']
