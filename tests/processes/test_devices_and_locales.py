"""Where a command runs: the CPU where it was asked for, and any locale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.device import get_device
from mmengine.device import utils as device_utils

from mdvision.cpu import keep_to_cpu
from tests.running import ROOT


@pytest.mark.fault('D25')
def test_the_cpu_is_kept_to_where_the_hosts_see_another_device(monkeypatch):
    monkeypatch.setattr(device_utils, 'DEVICE', 'mps')
    assert get_device() == 'mps'
    keep_to_cpu()
    assert get_device() == 'cpu'


@pytest.mark.fault('1.34')
@pytest.mark.skipif(sys.platform != 'linux', reason='other systems have file names in UTF-8')
def test_names_are_utf_8_in_the_c_locale(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text(
        f'import sys; sys.path.insert(0, {str(ROOT / "tools")!r})\n'
        'from _start import use_utf8\n'
        'use_utf8()\n'
        'from pathlib import Path\n'
        'Path(sys.argv[1], "a.txt").write_text(sys.argv[1].encode("utf-8").decode("utf-8"))\n'
    )
    folder = tmp_path / 'données'
    folder.mkdir()
    environment = dict(os.environ, LC_ALL='C', PYTHONCOERCECLOCALE='0')
    subprocess.run([sys.executable, '-X', 'utf8=0', script, folder], env=environment, check=True, timeout=60)
    assert Path(folder / 'a.txt').read_text(encoding='utf-8') == str(folder)
