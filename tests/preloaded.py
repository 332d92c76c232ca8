"""What every tool imports, for the process from which they are forked; see ``tests/running.py``."""

import os

# Before torch is imported, as the tools find it.
os.environ.update(OMP_NUM_THREADS='1', MPLBACKEND='Agg', CUDA_VISIBLE_DEVICES='')

import mdvision.commands.check  # noqa: E402, F401
import mdvision.commands.compare  # noqa: E402, F401
import mdvision.commands.complexity  # noqa: E402, F401
import mdvision.commands.overfit  # noqa: E402, F401
import mdvision.commands.test  # noqa: E402, F401
import mdvision.commands.train  # noqa: E402, F401
from mdvision.console import import_upstream  # noqa: E402

for scope in ('mmdet', 'mmpretrain'):
    import_upstream(scope)
