"""Real cells through the real tools."""

import re

import pytest

from tests.running import run_tool


@pytest.mark.slow
@pytest.mark.realdata
def test_the_bccd_config_trains_and_names_its_degenerate_boxes(real_data, tmp_path):
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    printed = run_tool(
        'train.py',
        'configs/emanet/faster_rcnn_bccd_cpu.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *(f'{loader}.dataset.data_root={real_data / "bccd"}' for loader in loaders),
        *(f'{loader}.dataset.indices=8' for loader in loaders),
        'train_cfg.max_epochs=2',
        'param_scheduler.1.T_max=2',
    )
    # One box without area in each split, by file.
    assert 'Annotations/BloodImage_00343.xml object 4' in printed
    assert 'Annotations/BloodImage_00338.xml object 13' in printed
    for name in ('RBC', 'WBC', 'Platelets'):
        assert re.search(rf'^{name} +\d+', printed, re.MULTILINE)
    assert 'mAP at IoU 0.5 (VOC, area)' in printed
