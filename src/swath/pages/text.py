"""How numbers and names are worded on pages, in messages and in terminals: one way for every room.

Anything with a value, the two ends of its 95 % interval and a count is an :class:`IntervalEstimate`, such as
:class:`swath.model.record.Estimate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

SCREEN = 80  # letters in a line of a terminal, which no table exceeds


@runtime_checkable
class IntervalEstimate(Protocol):
    """A number with its 95 % interval and the count it rests on."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """Lower end of the interval."""

    @property
    def high(self) -> float:
        """Upper end of the interval."""

    @property
    def n(self) -> int:
        """How many cases were counted; 0 where nothing is known."""


def percent(estimate: IntervalEstimate) -> tuple[str, str]:
    """Write an estimate and its interval in percent, with as many digits as the interval supports.

    Where it rests on nothing (``n`` 0) there is no number to write.

    Examples
    --------
    >>> from swath.model.record import Estimate
    >>> percent(Estimate(value=0.981, low=0.977, high=0.984, n=5400))[0]
    '98.10 %'
    """
    if estimate.n == 0:
        return "\u2013", "no patch"
    digits = 2 if estimate.high - estimate.low < 0.02 else 1
    value, low, high = (f"{100 * v:.{digits}f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} %", f"{low}\u2013{high} %"


def with_interval(estimate: IntervalEstimate) -> str:
    """Write an estimate with its interval in parentheses: ``98.2 % (96.7-99.0 %)``, with a dash for the range."""
    value, interval = percent(estimate)
    return f"{value} ({interval})"


def points(difference: IntervalEstimate) -> str:
    """Write a difference and its interval in percentage points.

    Examples
    --------
    >>> from swath.model.record import Estimate
    >>> points(Estimate(value=0.25, low=0.2, high=0.3, n=100))
    '+25.0 points (+20.0 to +30.0)'
    """
    return f"{_signed(difference.value)} points {_signed_interval(difference)}"


def points_more(difference: IntervalEstimate) -> str:
    """Write a difference in words: ``12.3 points more (+10.1 to +14.0)``, or ``fewer``."""
    direction = "fewer" if difference.value < 0 else "more"
    return f"{_signed(difference.value).lstrip('+-')} points {direction} {_signed_interval(difference)}"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _signed_interval(difference: IntervalEstimate) -> str:
    return f"({_signed(difference.low)} to {_signed(difference.high)})"


def p_text(p: float) -> str:
    """Write a p-value for a table.

    Examples
    --------
    >>> p_text(0.0321), p_text(0.00001)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_value(p: float) -> str:
    """Write a p-value for a sentence.

    Examples
    --------
    >>> p_value(0.0321), p_value(0.00001)
    ('p = 0.032', 'p < 0.001')
    """
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def counted(n: int, one: str, many: str) -> str:
    """Write a number with what it counts.

    Examples
    --------
    >>> counted(1, "image is", "images are"), counted(2200, "image is", "images are")
    ('1 image is', '2,200 images are')
    """
    return f"{n:,} {one if n == 1 else many}"


def plain_number(value: float) -> str:
    """Write a number with thousands separated: ``21,600`` or ``1,234.5``."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def three_digits(value: float) -> str:
    """Write a measurement to three digits, which is more than a map can know of an area.

    Examples
    --------
    >>> three_digits(45812.7), three_digits(4.5812), three_digits(0.0)
    ('45,800', '4.58', '0')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded.is_integer() else f"{rounded:,}"


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence.

    Examples
    --------
    >>> listed(["Forest", "River", "SeaLake"])
    'Forest, River and SeaLake'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def rough_time(seconds: float) -> str:
    """Write how long something takes, as far as an estimate can know.

    Examples
    --------
    >>> rough_time(41), rough_time(250), rough_time(5400)
    ('40 seconds', '4 minutes', '1.5 hours')
    """
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds >= 10 else 0)):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def sentence(text: str) -> str:
    """Begin with a capital letter and end with one period."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def columns(rows: Sequence[Sequence[str]], *, width: int = SCREEN) -> list[str]:
    """Align rows of text in columns two spaces apart, the first to the left and the others to the right.

    Columns that do not fit in `width` letters follow below, each block beginning with the first column again.

    Examples
    --------
    >>> columns([("class", "n"), ("Forest", "60")])
    ['class    n', 'Forest  60']
    >>> columns([("class", "n", "recall"), ("Forest", "60", "0.9")], width=15)
    ['class    n', 'Forest  60', '', 'class   recall', 'Forest     0.9']
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    blocks: list[list[int]] = [[]]
    room = width - widths[0]
    for column, needed in enumerate(widths[1:], 1):
        if blocks[-1] and needed + 2 > room:
            blocks.append([])
            room = width - widths[0]
        blocks[-1].append(column)
        room -= needed + 2
    lines = [
        ["  ".join([row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in block)]) for row in rows]
        for block in blocks
    ]
    return [line for number, block in enumerate(lines) for line in ([""] if number else []) + block]


def written(name: str, *, limit: int = 28) -> str:
    """Shorten a class or file name to one line of at most `limit` characters, all of them visible.

    In a figure, draw it with ``parse_math=False``: a name is never a formula.

    Examples
    --------
    >>> written("Herbaceous" + chr(10) + "Vegetation", limit=15)
    'Herbaceous Veg…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
