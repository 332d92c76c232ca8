"""Running the tools as a user does, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')},
    'OMP_NUM_THREADS': '1',
    'MPLBACKEND': 'Agg',
    'CUDA_VISIBLE_DEVICES': '',
    'PYTHON': sys.executable,
    'PYTHONPATH': str(ROOT),
}


def start_tool(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run ``tools/<name> args`` to its end."""
    tool, *args = map(str, command)
    launcher = ['bash'] if tool.endswith('.sh') else [sys.executable]
    return subprocess.run(
        [*launcher, str(ROOT / 'tools' / tool), *args],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_tool(*command: str | Path, cwd: Path = ROOT) -> str:
    """What the tool printed; fails with that text where the tool failed."""
    result = start_tool(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr
