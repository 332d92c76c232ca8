"""``python -m mdvision.doctor``: what is installed, which devices there are, which operators work.

Exit status 0 and a last line ``OK`` where detectors and classifiers can be trained here; else 1 and, last,
what is wrong and how to fix it.
"""

import argparse
import importlib
import importlib.metadata
import platform
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

import torch

from mdvision import ops
from mdvision.cpu import available_cores
from mdvision.provenance import package_version
from mdvision.version import __version__

__all__ = ['check_op', 'main']

STACK = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain')
OPTIONAL = ('mmdet', 'mmpretrain')
DISTRIBUTIONS = {'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv'}
OPENCV = ('opencv-python', 'opencv-python-headless')
LABEL_WIDTH = 24
LINE_WIDTH = 110


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the report on stdout and returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m mdvision.doctor', description=__doc__.partition('\n')[0])
    parser.parse_args(argv)
    problems: list[str] = []
    warnings: list[str] = []
    _report_versions(problems, warnings)
    devices = _report_devices()
    _report_ops(devices, problems, warnings)
    print()
    for warning in warnings:
        print(f'WARNING  {warning}')
    for problem in problems:
        print(f'PROBLEM  {problem}')
    if not problems:
        print('OK')
    return int(bool(problems))


def _line(label: str, text: str) -> None:
    """A label and its text, wrapped at spaces with the following lines indented below the first."""
    indent = ' ' * (LABEL_WIDTH + 2)
    print(
        textwrap.fill(text, LINE_WIDTH, initial_indent=f'  {label:<{LABEL_WIDTH}}', subsequent_indent=indent)
    )


# ---------------------------------------------------------------------------------------------- versions


def _report_versions(problems: list[str], warnings: list[str]) -> None:
    print('Versions')
    _line('mdvision', __version__)
    _line('python', f'{platform.python_version()} on {platform.platform()}')
    for name in STACK:
        _line(name, _version_of(name, problems))
    opencv = {name: package_version(name) for name in OPENCV}
    for name, version in opencv.items():
        _line(name, version or 'not installed')
    installed = {name: version for name, version in opencv.items() if version}
    if len(set(installed.values())) > 1:
        version = installed[OPENCV[0]]
        warnings.append(
            f'opencv-python {version} and opencv-python-headless {installed[OPENCV[1]]} overwrite each '
            f"other's files. Give both one version: pip install --force-reinstall --no-deps "
            f'opencv-python=={version} opencv-python-headless=={version}'
        )


def _version_of(name: str, problems: list[str]) -> str:
    """Version of an importable package, or why there is none, which is a problem unless it is optional."""
    try:
        return importlib.import_module(name).__version__
    except ModuleNotFoundError as error:
        if error.name == name:
            if name not in OPTIONAL:
                distribution = DISTRIBUTIONS.get(name, name)
                problems.append(f'{name} is not installed. Install it: pip install {distribution}')
            return 'not installed' + (' (optional)' if name in OPTIONAL else '')
        reason = str(error)
    except Exception as error:  # whatever an import raises is the diagnosis here
        reason = f'{type(error).__name__}: {error}'
    reason = ' '.join(reason.split())
    problems.append(f'import {name} fails: {reason}. Install the versions of requirements/lock.txt')
    return 'does not import'


# ---------------------------------------------------------------------------------------------- devices


def _report_devices() -> list[str]:
    """Prints them and returns torch's names of those to check operators on."""
    print('\nDevices')
    cores = available_cores()
    threads = torch.get_num_threads()
    _line('cpu', f'{cores} cores, {threads} torch threads, {_cpu_bf16()}')
    if not torch.cuda.is_available():
        _line('cuda', 'none')
        return ['cpu']
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        bf16 = 'bf16' if device.major >= 8 else 'no bf16'
        memory = device.total_memory / 2**30
        _line(f'cuda:{index}', f'{device.name}, {device.major}.{device.minor}, {memory:.1f} GiB, {bf16}')
    return ['cpu', 'cuda']


def _cpu_bf16() -> str:
    # torch.cpu tells only through a private name; where that is gone, the instruction set hints at it
    native = getattr(torch.cpu, '_is_avx512_bf16_supported', lambda: False)()
    capability = torch.backends.cpu.get_cpu_capability()
    return f'{capability}, bf16 {"native" if native else "emulated"}'


# ---------------------------------------------------------------------------------------------- operators


def _report_ops(devices: list[str], problems: list[str], warnings: list[str]) -> None:
    print('\nOperators of mmcv.ops')
    try:
        ops.activate()
    except ImportError as error:
        _line('none', f'{error}')
        if not problems:  # else the cause is among them
            problems.append(f"mmcv's operators cannot be set up: {error}")
        return
    if ops.failed_extension():
        warnings.append(ops.failed_extension())
    groups: dict[str, list[str]] = {'compiled': [], 'torchvision': [], 'missing': []}
    for name in ops.op_names():
        groups[ops.backend_of(name)].append(name)
    if groups['compiled']:
        _list('compiled', groups['compiled'])
    for name, (extension_name, _) in CHECKS.items():
        if extension_name not in groups['torchvision']:
            continue
        results = []
        for device in devices:
            failure = check_op(name, device)
            results.append(f'{device} {"fails" if failure else "ok"}')
            if failure:
                problems.append(
                    f'{name} fails on {device}: {failure}. Install the torchvision built for torch '
                    f'{torch.__version__}'
                )
        _line(name, f'torchvision, {", ".join(results)}')
    if groups['missing']:
        _list('missing', groups['missing'])
        print(f'  To have these too: {ops.BUILD_COMMAND}')


def _list(label: str, names: list[str]) -> None:
    """One paragraph that names each operator once, not once for each direction."""
    names = sorted({re.sub('_(forward|backward).*', '', name) for name in names})
    _line(f'{label} ({len(names)})', ', '.join(names))


def check_op(name: str, device: str) -> str | None:
    """Runs one operator of ``mmcv.ops``, forward and backward, on a case with a known answer.

    Args:
        name: a key of ``CHECKS``.
        device: a torch device such as ``'cpu'``.

    Returns:
        What is wrong in one line, or ``None``.
    """
    try:
        for got, expected in CHECKS[name][1](torch.device(device)):
            expected = torch.as_tensor(expected, dtype=got.dtype, device=got.device).expand_as(got)
            if not torch.allclose(got, expected, atol=1e-5):
                return f'gives {got.flatten().tolist()} where {expected.flatten().tolist()} is right'
    except Exception as error:  # whatever a broken installation raises is the diagnosis here
        return f'{type(error).__name__}: {" ".join(str(error).split())}'
    return None


# Each case returns pairs (computed, expected). Two boxes overlap with IoU 1/2 and score .8 and .6.


def _boxes(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 4]], device=device)
    return boxes, torch.tensor([0.6, 0.8], device=device)


def _nms_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import nms

    dets, kept = nms(*_boxes(device), iou_threshold=0.4)
    return [(kept, [1]), (dets, [0, 0, 4, 4, 0.8])]


def _soft_nms_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import soft_nms

    dets, kept = soft_nms(*_boxes(device), iou_threshold=0.4, method='linear')
    return [(kept, [1, 0]), (dets[:, 4], [0.8, 0.3])]


def _roi_align_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import roi_align

    return _pooling_case(roi_align, device)


def _roi_pool_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import roi_pool

    return _pooling_case(roi_pool, device)


def _pooling_case(pool: Callable, device: torch.device) -> list[tuple]:
    features = torch.full((1, 1, 8, 8), 3.0, device=device, requires_grad=True)
    pooled = pool(features, torch.tensor([[0.0, 1, 1, 5, 5]], device=device), (2, 2), 1.0)
    pooled.sum().backward()
    return [(pooled, 3.0), (features.grad.sum(), 4.0)]


def _sigmoid_focal_loss_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.zeros(1, 2, device=device, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0], device=device), 2.0, 0.25, None, 'none')
    loss.sum().backward()
    log2 = 0.6931472
    # p = 1/2: alpha p^2 ln 2, with the slope -alpha p^2 (p + ln 2)
    slopes = [-0.25 * 0.25 * (0.5 + log2), 0.75 * 0.25 * (0.5 + log2)]
    return [(loss, [[0.0625 * log2, 0.1875 * log2]]), (logits.grad, [slopes])]


def _deform_conv_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import deform_conv2d

    image, offset, weight = _unit_convolution(device)
    output = deform_conv2d(image, offset, weight, 1, 1)
    output.sum().backward()
    return [(output, CORNERS), (weight.grad, CORNERS), (image.grad, CORNERS)]


def _modulated_deform_conv_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import modulated_deform_conv2d

    image, offset, weight = _unit_convolution(device)
    mask = torch.full((1, 9, 3, 3), 0.5, device=device)
    output = modulated_deform_conv2d(image, offset, mask, weight, None, 1, 1)
    output.sum().backward()
    half = torch.tensor(CORNERS) / 2
    return [(output, half), (weight.grad, half), (image.grad, half)]


def _ms_deform_attn_case(device: torch.device) -> list[tuple]:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value = (
        torch.arange(1.0, 5.0, device=device).reshape(1, 4, 1, 1).requires_grad_()
    )  # a 2 x 2 map of 1 2 3 4
    place = torch.full((1, 1, 1, 1, 1, 2), 0.5, device=device, requires_grad=True)  # its middle
    weight = torch.full((1, 1, 1, 1, 1), 2.0, device=device)
    shape, start = torch.tensor([[2, 2]], device=device), torch.tensor([0], device=device)
    output = MultiScaleDeformableAttnFunction.apply(value, shape, start, place, weight, 64)
    output.sum().backward()
    # slopes of 1 a pixel along x and 2 along y, times the weight and two pixels a map
    return [(output, 5.0), (value.grad, 0.5), (place.grad.flatten(), [4.0, 8.0])]


def _bbox_overlaps_case(device: torch.device) -> list[tuple]:
    from mmcv.ops import bbox_overlaps

    boxes, _ = _boxes(device)
    return [(bbox_overlaps(boxes, boxes), [[1.0, 0.5], [0.5, 1.0]])]


def _unit_convolution(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A 3 x 3 image and kernel of ones, offsets of zero."""
    image, weight = (torch.ones(1, 1, 3, 3, device=device, requires_grad=True) for _ in range(2))
    return image, torch.zeros(1, 18, 3, 3, device=device), weight


CORNERS = [[[[4.0, 6, 4], [6, 9, 6], [4, 6, 4]]]]  # ones convolved with ones, padded by 1

# name in mmcv.ops -> a function of mmcv._ext behind it, its case
CHECKS: dict[str, tuple[str, Callable[[torch.device], list[tuple]]]] = {
    'nms': ('nms', _nms_case),
    'soft_nms': ('softnms', _soft_nms_case),
    'roi_align': ('roi_align_forward', _roi_align_case),
    'roi_pool': ('roi_pool_forward', _roi_pool_case),
    'sigmoid_focal_loss': ('sigmoid_focal_loss_forward', _sigmoid_focal_loss_case),
    'deform_conv2d': ('deform_conv_forward', _deform_conv_case),
    'modulated_deform_conv2d': ('modulated_deform_conv_forward', _modulated_deform_conv_case),
    'multi_scale_deform_attn': ('ms_deform_attn_forward', _ms_deform_attn_case),
    'bbox_overlaps': ('bbox_overlaps', _bbox_overlaps_case),
}


if __name__ == '__main__':
    sys.exit(main())
