"""Text for people: shortened lists, short numbers, aligned tables."""

from collections.abc import Iterable, Sequence

__all__ = ['aligned', 'short_number', 'shortlist']


def shortlist(names: Iterable[object], most: int = 20) -> str:
    """Join names for a message: the first ones in full, the others as a count."""
    names = list(map(str, names))
    more = f', and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def short_number(number: int) -> str:
    """Format a count with three decimals: 1,297,829,888 is '1.298 G'."""
    for unit, name in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if number >= unit:
            return f'{number / unit:.3f} {name}'
    return str(number)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: first column left-aligned, others right-aligned, two spaces between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
