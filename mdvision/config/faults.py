"""A config after its overrides: everything that can be known of it before anything is built."""

from mmengine.config import Config

from mdvision.findings import Finding, report

from .keys import find_unknown_keys, find_unknown_types
from .values import check_values, find_idle_workers

__all__ = ['check_config', 'find_config_faults']


def find_config_faults(cfg: Config, path: str) -> list[Finding]:
    """Wrong kinds and values, classes that no registry knows, keys that nothing reads.

    Args:
        cfg: with its overrides; the host of its ``default_scope`` must be imported.
        path: of the config file.
    """
    faults = check_values(cfg, path)
    if faults:
        return faults  # what stands where a dict is expected has no keys to look at
    return [*find_unknown_types(cfg), *find_unknown_keys(cfg), *find_idle_workers(cfg)]


def check_config(cfg: Config, path: str) -> None:
    """Say what :func:`find_config_faults` finds.

    Raises:
        UserError: with all errors.
    """
    report(find_config_faults(cfg, path))
