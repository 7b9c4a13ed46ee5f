"""How numbers are written, on the report page and on the terminal alike."""

from __future__ import annotations

from collections.abc import Sequence

from swath.model.record import Estimate


def percent(estimate: Estimate) -> tuple[str, str]:
    """Write an estimate and its interval in percent, with as many digits as the interval supports.

    Where it rests on nothing (``n`` 0) there is no number to write.

    >>> percent(Estimate(value=0.981, low=0.977, high=0.984, n=5400))[0]
    '98.10 %'
    """
    if estimate.n == 0:
        return "\u2013", "no patch"
    digits = 2 if estimate.high - estimate.low < 0.02 else 1
    value, low, high = (f"{100 * v:.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} %", f"{low}\u2013{high} %"


def points(estimate: Estimate) -> str:
    """Write a difference and its interval in percentage points.

    >>> points(Estimate(value=0.25, low=0.2, high=0.3, n=100))
    '+25.0 points (+20.0 to +30.0)'
    """
    return f"{100 * estimate.value:+.1f} points ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of text in columns two spaces apart, the first to the left and the others to the right.

    >>> columns([("class", "n"), ("Forest", "60")])
    ['class    n', 'Forest  60']
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
