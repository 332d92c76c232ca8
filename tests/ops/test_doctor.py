"""The doctor's report on a good and on several bad installations."""

import subprocess
import sys

import mmcv
import mmdet
import pytest
import torch

from mdvision import doctor, ops


@pytest.fixture(autouse=True)
def no_compiled_extension(monkeypatch, torchvision_backend):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', torchvision_backend)
    monkeypatch.setattr(mmcv, '_ext', torchvision_backend)
    monkeypatch.setattr(ops, '_failure', None)


@pytest.fixture
def report(capsys):
    """Runs the doctor and returns (exit status, lines)."""

    def report():
        status = doctor.main([])
        return status, capsys.readouterr().out.splitlines()

    return report


def line_of(lines, label):
    (line,) = [line for line in lines if line.split()[:1] == [label]]
    return line


def test_a_good_installation_ends_with_ok(report):
    status, lines = report()
    assert (status, lines[-1]) == (0, 'OK')
    assert line_of(lines, 'torch').split() == ['torch', torch.__version__]
    assert line_of(lines, 'mmcv').split() == ['mmcv', mmcv.__version__]
    assert line_of(lines, 'mmdet').split() == ['mmdet', mmdet.__version__]
    assert f'{torch.get_num_threads()} torch threads' in line_of(lines, 'cpu')
    for name in doctor.CHECKS:
        assert 'torchvision, cpu ok' in line_of(lines, name)
    text = '\n'.join(lines)
    assert 'carafe' in text[text.index('missing (') :]
    assert ops.BUILD_COMMAND in text


def test_the_report_stays_within_its_width_and_is_aligned(report):
    _, lines = report()
    body = [line for line in lines if line.startswith('  ') and ops.BUILD_COMMAND not in line]
    assert len(body) > 20
    assert all(len(line) <= 110 for line in body)
    assert {len(line) - len(line[26:].lstrip()) for line in body} == {
        len(line) - len(line[26:]) for line in body
    }


def test_it_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, '-m', 'mdvision.doctor'], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == 'OK'


@pytest.mark.parametrize('name', doctor.CHECKS)
def test_an_operator_with_wrong_results_is_a_problem(monkeypatch, report, torchvision_backend, name):
    extension_name = doctor.CHECKS[name][0]
    correct = getattr(torchvision_backend, extension_name)

    def wrong(*args, **kwargs):
        result = correct(*args, **kwargs)
        if result is not None:
            return result * 0
        for tensor in args:  # the output is among them
            tensor.detach().mul_(2)

    monkeypatch.setattr(torchvision_backend, extension_name, wrong)
    status, lines = report()
    assert status == 1
    assert 'cpu fails' in line_of(lines, name)
    assert lines[-1].startswith(f'PROBLEM  {name} fails on cpu: gives ')
    assert 'OK' not in lines


def test_an_operator_that_raises_is_a_problem_on_one_line(monkeypatch, report, torchvision_backend):
    def fail(*args, **kwargs):
        raise RuntimeError('operator torchvision::nms\ndoes not exist')

    monkeypatch.setattr(torchvision_backend, 'nms', fail)
    status, lines = report()
    assert status == 1
    assert lines[-1].startswith(
        'PROBLEM  nms fails on cpu: RuntimeError: operator torchvision::nms does not exist'
    )
    assert 'Install the torchvision built for torch' in lines[-1]


@pytest.mark.parametrize('name', ['mmdet', 'mmpretrain'])
def test_an_absent_host_is_no_problem(monkeypatch, report, name):
    monkeypatch.setitem(sys.modules, name, None)
    status, lines = report()
    assert 'not installed (optional)' in line_of(lines, name)
    assert (status, lines[-1]) == (0, 'OK')


def test_a_host_that_does_not_import_is_a_problem_with_the_reason(monkeypatch, report):
    class Incompatible:
        def find_spec(self, name, path=None, target=None):
            if name == 'mmdet':
                raise AssertionError('MMCV==9.9 is used but incompatible')

    monkeypatch.delitem(sys.modules, 'mmdet')
    monkeypatch.setattr(sys, 'meta_path', [Incompatible(), *sys.meta_path])
    status, lines = report()
    assert status == 1
    assert 'does not import' in line_of(lines, 'mmdet')
    assert lines[-1].startswith('PROBLEM  import mmdet fails: AssertionError: MMCV==9.9 is used')


def test_an_absent_mmcv_is_one_problem(monkeypatch, report):
    monkeypatch.setitem(sys.modules, 'mmcv', None)
    status, lines = report()
    assert status == 1
    problems = [line for line in lines if line.startswith('PROBLEM')]
    assert problems == ['PROBLEM  mmcv is not installed. Install it: pip install onedl-mmcv']


def test_two_versions_of_opencv_are_a_warning_with_the_fix(monkeypatch, report):
    versions = {'opencv-python': '4.12.0.88', 'opencv-python-headless': '4.11.0.86'}
    monkeypatch.setattr(doctor, 'package_version', versions.get)
    status, lines = report()
    assert line_of(lines, 'opencv-python-headless').split()[1] == '4.11.0.86'
    (warning,) = [line for line in lines if line.startswith('WARNING')]
    assert warning.endswith('opencv-python==4.12.0.88 opencv-python-headless==4.12.0.88')
    assert (status, lines[-1]) == (0, 'OK')


def test_one_opencv_is_enough(monkeypatch, report):
    monkeypatch.setattr(doctor, 'package_version', {'opencv-python-headless': '4.12.0.88'}.get)
    status, lines = report()
    assert 'not installed' in line_of(lines, 'opencv-python')
    assert not [line for line in lines if line.startswith('WARNING')]
    assert status == 0


def test_an_extension_that_failed_to_load_is_a_warning(monkeypatch, report):
    monkeypatch.setattr(ops, '_failure', '_ext.so does not load (undefined symbol: x)')
    status, lines = report()
    assert 'WARNING  _ext.so does not load (undefined symbol: x)' in lines
    assert (status, lines[-1]) == (0, 'OK')
