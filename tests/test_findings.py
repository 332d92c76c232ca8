"""Findings: the errors come in one message, what is less is said and does not stop."""

import logging

import pytest

from mdvision import findings
from mdvision.errors import UserError
from mdvision.findings import Finding, report


def test_errors_come_in_one_message_and_the_rest_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(findings, 'say', said.append)
    monkeypatch.setattr(findings, 'print_log', lambda text, logger, level: said.append((level, text)))
    report([Finding('note', 'a', 'is odd'), Finding('warning', 'b', 'is old', 'renew it')])
    assert said == ['note: a: is odd', (logging.WARNING, 'b: is old\n  fix: renew it')]
    with pytest.raises(UserError) as caught:
        report(
            [
                Finding('error', 'c', 'is wrong'),
                Finding('note', 'd', 'is odd'),
                Finding('error', 'e', 'is gone'),
            ]
        )
    assert str(caught.value) == 'c: is wrong\ne: is gone'
    assert said[-1] == 'note: d: is odd'


def test_a_severity_is_one_of_three():
    with pytest.raises(AssertionError):
        Finding('fatal', 'a', 'is odd')
