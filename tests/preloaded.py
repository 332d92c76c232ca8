"""What every tool imports, for the process from which they are forked; see ``tests/running.py``."""

import os

# Before torch is imported, as the tools find it; the last one as dist_run.py sets it for several processes.
os.environ.update(
    OMP_NUM_THREADS='1', MPLBACKEND='Agg', CUDA_VISIBLE_DEVICES='', TORCH_CPP_LOG_LEVEL='ERROR'
)  # fmt: skip

import mdvision.commands.check
import mdvision.commands.compare
import mdvision.commands.complexity
import mdvision.commands.infer
import mdvision.commands.overfit
import mdvision.commands.test
import mdvision.commands.train  # noqa: F401
from mdvision.console import import_upstream

for scope in ('mmdet', 'mmpretrain'):
    import_upstream(scope)
