"""Check a config after its overrides: everything that can be known before anything is built."""

from mmengine.config import Config

from mdvision.findings import Finding, report

from .keys import find_unknown_keys, find_unknown_types
from .values import check_values, find_idle_workers

__all__ = ['check_config', 'find_config_faults']


def find_config_faults(cfg: Config, path: str) -> list[Finding]:
    """Find wrong kinds and values, unregistered classes, and keys that nothing reads.

    Args:
        cfg: the config with its overrides; the library of its ``default_scope`` must be imported.
        path: the config file.
    """
    faults = check_values(cfg, path)
    if faults:
        return faults  # if a dict is expected, other values have no keys to check
    return [*find_unknown_types(cfg), *find_unknown_keys(cfg), *find_idle_workers(cfg)]


def check_config(cfg: Config, path: str) -> None:
    """Report the findings of :func:`find_config_faults`.

    Raises:
        UserError: there are errors; the message has all of them.
    """
    report(find_config_faults(cfg, path))
