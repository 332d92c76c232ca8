"""Findings of checks: severity, place, text and fix; all are reported at once."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from mmengine.logging import print_log

from mdvision.console import say
from mdvision.errors import UserError

__all__ = ['SEVERITIES', 'Finding', 'FoundError', 'report']

SEVERITIES = ('error', 'warning', 'note')


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    ``severity`` is ``'error'`` (training would fail or be wrong), ``'warning'`` or ``'note'``; ``where`` the
    file, key or part of the config; ``text`` what was expected and what came; ``fix`` what to do, as a
    command to the reader, or ``''``.
    """

    severity: str
    where: str
    text: str
    fix: str = ''

    def __post_init__(self) -> None:
        assert self.severity in SEVERITIES, self.severity

    def __str__(self) -> str:
        return f'{self.where}: {self.text}' + f'\n  fix: {self.fix}' * bool(self.fix)


class FoundError(UserError):
    """Errors among the findings of a check; ``findings`` has them one by one."""

    def __init__(self, findings: list[Finding]):
        super().__init__('\n'.join(map(str, findings)))
        self.findings = findings


def report(findings: Iterable[Finding]) -> None:
    """Say the notes, warn of the warnings, and raise one error with all errors, where there are any."""
    findings = list(findings)
    # Before the processes have found each other, each takes itself for the main one.
    speaks = os.environ.get('RANK', '0') == '0'
    for finding in findings if speaks else ():
        if finding.severity == 'note':
            say(f'note: {finding}')
        elif finding.severity == 'warning':
            print_log(str(finding), logger='current', level=logging.WARNING)
    errors = [finding for finding in findings if finding.severity == 'error']
    if errors:
        raise FoundError(errors)
