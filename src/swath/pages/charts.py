"""Charts as SVG, drawn for the width they get: lines in panels, dots with intervals, matrices, clouds of points.

Every chart is drawn twice, for a wide and for a narrow column, with letters of the same size: a picture drawn once
and scaled would have unreadable labels on a phone. Colors are names (``accent``, ``warm``, ...) that the page's style
gives a value in light and in dark, or a class's own color, which is lightened in the dark. The same values give the
same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import escape

from swath.pages.text import IntervalEstimate, written

WIDE, NARROW = 720, 336  # pixels that a chart is drawn for; a narrow one fits a phone of 400
TEXT, SMALL = 12.0, 11.0  # pixels; nothing is smaller
LINE = 16  # from one line of text to the next
SERIES = ("accent", "warm", "#7a5195", "#1b6b3a", "#7a6a1b", "soft")  # told apart by lightness and dashes, too
DASHES = ("", "6 4", "2 3", "8 3 2 3", "4 2", "1 4")
_NARROW_LETTERS, _WIDE_LETTERS = set("iIjl.,:;'|!()[]- "), set("mwMW%@")
_DARK_SCREEN = "@media screen and (prefers-color-scheme: dark)"  # in charts.css
_POINTS = 2000  # of a line: more cannot be seen
_CELL = 46.0  # widest cell of a matrix
_NAME = 60.0  # room that names of its rows keep in a narrow column


@dataclass(frozen=True)
class Chart:
    """A chart in two widths.

    Attributes
    ----------
    alt : str
        What it shows, in words.
    wide, narrow : str
        SVG, without addresses and identifiers, so that many can stand on one page.
    caption : str
        Shown below it.
    """

    alt: str
    wide: str
    narrow: str
    caption: str = ""

    def to_svg(self, *, narrow: bool = False, dark: bool | None = None) -> bytes:
        """One drawing as a file of its own, with its colors for light and dark screens, or for one of the two.

        >>> Chart("a dot", "<svg></svg>", "").to_svg(dark=True).count(b"@media all")
        1
        """
        style = chart_style()
        if dark is not None:
            style = style.replace(_DARK_SCREEN, "@media all" if dark else "@media not all")
        style = f"<style>{style} .chart {{ background: var(--c-page); }}</style>"
        start, rest = (self.narrow if narrow else self.wide).split(">", 1)
        return f'{start} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'.encode()


@cache
def chart_style() -> str:
    """The style that charts need, once on a page."""
    return resources.files("swath.pages").joinpath("charts.css").read_text(encoding="utf-8")


class Canvas:
    """Elements of a drawing `width` pixels wide; its height grows with what is drawn."""

    def __init__(self, width: float) -> None:
        self.width, self.height = width, 0.0
        self._elements: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        look: str = "",
        size: float = TEXT,
        turned: bool = False,
    ) -> None:
        """Write one line with its base at `y`; `turned` reads upwards."""
        turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
        name = f' class="{look}"' if look else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        small = "" if size == TEXT else f' font-size="{_n(size)}"'
        self._elements.append(f'<text x="{_n(x)}" y="{_n(y)}"{place}{name}{small}{turn}>{escape(text)}</text>')

    def line(self, points: Sequence[tuple[float, float]], color: str, *, width: float = 1, dash: str = "") -> None:
        """Draw a line through points; of one place, a dot."""
        steps = " ".join(f"{_n(x)} {_n(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._elements.append(f'<path d="M{steps}" stroke-width="{_n(width)}"{dashed} {_paint(color, "l", "stroke")}/>')

    def dots(self, points: Sequence[tuple[float, float]], color: str, *, size: float, opacity: float = 1) -> None:
        """Draw round dots of one color in one element."""
        path = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in points)
        light = "" if opacity == 1 else f' stroke-opacity="{_n(opacity)}"'
        self._elements.append(f'<path d="{path}" stroke-width="{_n(size)}"{light} {_paint(color, "l", "stroke")}/>')

    def area(self, points: Sequence[tuple[float, float]], color: str, *, opacity: float) -> None:
        """Fill what points enclose."""
        steps = " ".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self._elements.append(f'<path d="M{steps}Z" fill-opacity="{_n(opacity)}" {_paint(color, "f", "fill")}/>')

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: str,
        *,
        opacity: float = 1,
        outline: str = "",
        exact: bool = False,
    ) -> None:
        """Fill a rectangle; `exact` colors are the same in the dark."""
        light = "" if opacity == 1 else f' fill-opacity="{round(opacity, 3):g}"'
        paint = f'fill="{color}"' if exact else _paint(color, "f", "fill")
        if outline:
            paint = paint.replace('class="', f'class="l-{outline} ')
        box = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._elements.append(f"<rect {box}{light} {paint}/>")

    def markup(self, alt: str) -> str:
        """Everything drawn, as one SVG element."""
        width, height = math.ceil(self.width), math.ceil(self.height)
        return (
            f'<svg class="chart" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">{"".join(self._elements)}</svg>'
        )


def chart(alt: str, draw: Callable[[float], Canvas], *, caption: str = "") -> Chart:
    """Let `draw` make a drawing for each of the two widths."""
    return Chart(alt, draw(WIDE).markup(alt), draw(NARROW).markup(alt), caption)


def text_width(text: str, *, size: float = TEXT) -> float:
    """How wide a line of text is at most, in pixels, in the widest of the fonts that pages ask for.

    Examples
    --------
    >>> text_width("Forest") < text_width("SeaLake") < 70
    True
    """
    wide = (
        0.34
        if c in _NARROW_LETTERS
        else 0.95
        if c in _WIDE_LETTERS
        else 1.0
        if ord(c) > 0x2E80
        else 0.7
        if c.isupper()
        else 0.62
        for c in text
    )
    return size * sum(wide)


def fitting(name: str, width: float, *, size: float = TEXT) -> str:
    """Shorten a name until it fits `width` pixels.

    Examples
    --------
    >>> fitting("HerbaceousVegetation", 90)
    'Herbaceous…'
    """
    line = shown = written(name, limit=80)
    while line and text_width(shown, size=size) > width:
        line = line[:-1]
        shown = line + "…"
    return shown


def wrapped(text: str, width: float, *, size: float = TEXT) -> list[str]:
    """Break a sentence into lines that fit `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size=size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes
    ----------
    x, y : array
        ``[N]`` values.
    name : str
        In the legend; without one it is not listed.
    color : str
        A name or ``#RRGGBB``.
    dash : str
        As of SVG; empty is a whole line.
    low, high : array, optional
        ``[N]``, the ends of intervals: a band, or with `dots` strokes.
    dots : bool
        Mark every point.
    steps : bool
        Hold each value back to the point before.
    joined : bool
        Draw the line itself.
    """

    x: npt.NDArray[Any] | Sequence[float]
    y: npt.NDArray[Any] | Sequence[float]
    name: str = ""
    color: str = "accent"
    dash: str = ""
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dots: bool = False
    steps: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Panel:
    """Axes with lines.

    Attributes
    ----------
    lines : sequence of Line
        Later ones lie above earlier ones.
    x, y : tuple of float
        Limits of the axes.
    title, across, up : str
        Above the panel, below it, and above the vertical axis.
    x_ticks, y_ticks : sequence of (float, str), optional
        By default four or five round values.
    bars : sequence of (float, float, float)
        Left, right and height of gray bars behind the lines.
    marks : sequence of (float, float, str)
        Large dots: place and color.
    log : bool
        Logarithmic horizontal axis.
    """

    lines: Sequence[Line]
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    title: str = ""
    across: str = ""
    up: str = ""
    x_ticks: Sequence[tuple[float, str]] | None = None
    y_ticks: Sequence[tuple[float, str]] | None = None
    bars: Sequence[tuple[float, float, float]] = ()
    marks: Sequence[tuple[float, float, str]] = ()
    log: bool = False


def round_ticks(low: float, high: float, *, about: int = 4) -> list[tuple[float, str]]:
    """Choose round values between two limits.

    Examples
    --------
    >>> [text for _, text in round_ticks(0, 1)]
    ['0', '0.25', '0.5', '0.75', '1']
    >>> [text for _, text in round_ticks(0, 13)]
    ['0', '5', '10']
    """
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [(low, f"{low:.3g}")]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next((k * power for k in (1, 2, 2.5, 5, 10) if span / (k * power) <= about + 0.5), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(k * step, f"{k * step:,.10g}") for k in range(first, last + 1)]


def panels_chart(
    alt: str,
    panels: Sequence[Panel],
    *,
    columns: int,
    narrow_columns: int = 1,
    tall: float = 200,
    caption: str = "",
    key: Sequence[Line] = (),
) -> Chart:
    """Draw panels in rows, with the names of each one's lines below it, or one `key` below all."""

    def draw(width: float) -> Canvas:
        across = min(len(panels), columns if width >= WIDE else narrow_columns)
        canvas = Canvas(width)
        gap = 24 if across < 4 else 10
        each = (width - gap * (across - 1)) / across
        for start in range(0, len(panels), across):
            bottoms = [
                _draw_panel(canvas, panel, left=place * (each + gap), top=canvas.height, width=each, tall=tall)
                for place, panel in enumerate(panels[start : start + across])
            ]
            canvas.height = max(bottoms) + 10
        if key:
            canvas.height = _draw_legend(canvas, key, left=0, top=canvas.height, width=width)
        return canvas

    return chart(alt, draw, caption=caption)


def _draw_panel(canvas: Canvas, panel: Panel, *, left: float, top: float, width: float, tall: float) -> float:
    """Draw one panel; returns where it ends."""
    y_ticks = round_ticks(*panel.y) if panel.y_ticks is None else panel.y_ticks
    margin = max((text_width(text, size=SMALL) for _, text in y_ticks), default=0) + 6
    for said, look in ((panel.title, "head"), (panel.up, "quiet")):
        for text in wrapped(said, width):
            top += LINE
            canvas.text(left, top - 3, text, look=look)
    top += 8
    x0, x1, y0, y1 = left + margin, left + width - 8, top + tall, top

    def placed(x: float, y: float) -> tuple[float, float]:
        low, high = panel.x
        if panel.log:
            x, low, high = math.log(x), math.log(low), math.log(high)
        share = (x - low) / (high - low) if high > low else 0.5
        up = (y - panel.y[0]) / (panel.y[1] - panel.y[0]) if panel.y[1] > panel.y[0] else 0.5
        return x0 + (x1 - x0) * min(max(share, 0), 1), y0 + (y1 - y0) * min(max(up, 0), 1)

    for value, text in y_ticks:
        _, y = placed(panel.x[0], value)
        canvas.line([(x0, y), (x1, y)], "grid")
        canvas.text(x0 - 5, y + 4, text, anchor="end", look="quiet", size=SMALL)
    for bar_low, bar_high, height in panel.bars:
        (a, base), (b, end) = placed(bar_low, panel.y[0]), placed(bar_high, height)
        canvas.rectangle(a, end, b - a, base - end, "grid")
    ends = -math.inf
    x_ticks = round_ticks(*panel.x, about=4 if width > 220 else 3) if panel.x_ticks is None else panel.x_ticks
    for value, text in x_ticks:
        x, _ = placed(value, panel.y[0])
        half = text_width(text, size=SMALL) / 2
        middle = min(max(x, left + half), left + width - half)
        if middle - half > ends + 4:  # those that would touch are left out
            canvas.text(middle, y0 + 15, text, anchor="middle", look="quiet", size=SMALL)
            ends = middle + half
    for line in panel.lines:
        _draw_line(canvas, line, placed)
    for x, y, color in panel.marks:
        canvas.dots([placed(x, y)], "ink", size=10)
        canvas.dots([placed(x, y)], color, size=7)
    bottom = y0 + (LINE + 4 if x_ticks else 4)
    for text in wrapped(panel.across, width):
        bottom += LINE
        canvas.text((x0 + x1) / 2, bottom - 3, text, anchor="middle", look="quiet")
    return _draw_legend(canvas, [line for line in panel.lines if line.name], left=left, top=bottom, width=width)


def _draw_line(canvas: Canvas, line: Line, placed: Callable[[float, float], tuple[float, float]]) -> None:
    xs, ys = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    points = [placed(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
    if line.low is not None and line.high is not None:
        lower, upper = ([placed(x, y) for x, y in zip(xs, end, strict=True)] for end in (line.low, line.high))
        if line.dots:
            for pair in zip(lower, upper, strict=True):
                canvas.line(pair, line.color, width=2)
        else:
            canvas.area([*lower, *upper[::-1]], line.color, opacity=0.2)
    if line.joined and len(points) > 1:
        drawn = points
        if line.steps:
            drawn = [points[0]]
            for before, point in pairwise(points):
                drawn += [(before[0], point[1]), point]
        canvas.line(_thinned(drawn), line.color, width=1.8, dash=line.dash)
    if line.dots or len(points) == 1:  # a line of one point cannot be seen
        canvas.dots(points, line.color, size=6)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without points that fall on the pixel of the one before; corners stay."""
    if len(points) > _POINTS:
        chosen = np.unique(np.linspace(0, len(points) - 1, _POINTS).round().astype(int))
        points = [points[k] for k in chosen.tolist()]
    kept = [points[0]]
    for point in points[1:-1]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= 0.5:
            kept.append(point)
    return [*kept, points[-1]]


def _draw_legend(canvas: Canvas, lines: Sequence[Line], *, left: float, top: float, width: float) -> float:
    """Name lines in as many columns as fit; returns where it ends."""
    if not lines:
        return top
    top += 6
    shown = [fitting(line.name, width - 34) for line in lines]
    needed = max(map(text_width, shown)) + 40
    columns = max(1, min(len(lines), int(width // needed)))
    for number, (line, name) in enumerate(zip(lines, shown, strict=True)):
        row, column = divmod(number, columns)
        x, y = left + column * (width / columns), top + (row + 1) * LINE
        if line.joined:
            canvas.line([(x, y - 4), (x + 24, y - 4)], line.color, width=2.2, dash=line.dash)
        if line.dots or not line.joined:
            canvas.dots([(x + 12, y - 4)], line.color, size=7)
        canvas.text(x + 30, y, name)
    return top + -(-len(lines) // columns) * LINE + 4


@dataclass(frozen=True)
class Interval:
    """A row of :func:`intervals_chart`: a value between the ends of its interval, in the unit of the axis.

    Rows without a name stand close below the one before them.
    """

    name: str
    value: float
    low: float
    high: float
    note: str = ""
    color: str = "accent"
    hollow: bool = False

    @classmethod
    def of(
        cls, name: str, share: IntervalEstimate, *, note: str = "", color: str = "accent", hollow: bool = False
    ) -> Interval:
        """A share with its interval, in percent."""
        return cls(name, 100 * share.value, 100 * share.low, 100 * share.high, note, color, hollow)


def intervals_chart(
    alt: str, rows: Sequence[Interval], *, across: str, line: float | None = None, caption: str = ""
) -> Chart:
    """Draw a dot and its interval for every row, the value written next to it; `line` is a reference.

    The axis begins where the lowest interval does, so it is a plot of dots: bars would need zero.
    """
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    low, high = low - 0.04 * (high - low or 1), high + 0.02 * (high - low or 1)

    def draw(width: float) -> Canvas:
        canvas = Canvas(width)
        names = [f"{written(row.name, limit=60)}{row.note}" for row in rows]
        side = min(max(map(text_width, names)), (0.42 if width >= WIDE else 0.4) * width) + 10
        x0, x1, step = side, width - 10, 24

        def placed(value: float) -> float:
            return x0 + (x1 - x0) * (value - low) / (high - low)

        places, bottom = [], 8.0
        for row in rows:
            bottom += step if row.name else step / 2
            places.append(bottom - step / 2)
        ends = -math.inf
        for value, text in round_ticks(low, high):
            x, half = placed(value), text_width(text, size=SMALL) / 2
            canvas.line([(x, 4), (x, bottom)], "grid")
            if x - half > ends + 4:
                canvas.text(x, bottom + 15, text, anchor="middle", look="quiet", size=SMALL)
                ends = x + half
        if line is not None:
            canvas.line([(placed(line), 2), (placed(line), bottom)], "quiet", dash="5 4")
        for row, name, y in zip(rows, names, places, strict=True):
            shown = name if text_width(name) <= side - 8 else fitting(row.name, side - 8 - text_width(row.note))
            canvas.text(0, y + 4, shown if shown == name else shown + row.note)
            canvas.line([(placed(row.low), y), (placed(row.high), y)], row.color, width=2)
            canvas.dots([(placed(row.value), y)], row.color, size=9)
            if row.hollow:
                canvas.dots([(placed(row.value), y)], "page", size=5)
        canvas.height = bottom + 20
        for text in wrapped(across, width):
            canvas.height += LINE
            canvas.text(0, canvas.height - 3, text, look="quiet")
        return canvas

    return chart(alt, draw, caption=caption)


def matrix_chart(
    alt: str,
    values: npt.NDArray[Any],
    names: Sequence[str],
    *,
    texts: Sequence[Sequence[str]],
    short: Sequence[Sequence[str]] | None = None,
    up: str,
    across: str,
    caption: str = "",
) -> Chart:
    """Draw a matrix ``[K, K]`` of classes by classes on colors normalized by row, with `texts` in its cells.

    Cells are as wide as their texts need, so that a matrix of many classes is wider than the page and is moved
    sideways in it. In a narrow column stand the `short` texts, where there are any, and names give way to cells.
    """
    whole = values.sum(axis=1, keepdims=True)
    share = values / np.where(whole > 0, whole, 1)
    k = len(names)

    def draw(width: float) -> Canvas:
        shown = texts if short is None or width >= WIDE else short
        needed = max(text_width(text, size=SMALL) for row in shown for text in row) + 4
        side = min(max(map(text_width, names)) + 8, 0.28 * width if width >= WIDE else 0.3 * width)
        first = LINE + 6  # the name of the rows, read upwards
        if width < WIDE:
            side = max(min(side, width - first - 2 - max(needed, LINE + 2) * k), min(side, _NAME))
        cell = max(min(_CELL, (width - side - first - 2) / k), needed, LINE + 2)
        canvas = Canvas(max(width, first + side + cell * k + 2) if k > 8 else first + side + cell * k + 2)
        head = min(max(map(text_width, names)) + 8, 150)
        left, top = first + side, LINE + 6 + head
        canvas.text(left, LINE - 2, fitting(across, canvas.width - left), look="quiet")
        canvas.text(LINE - 3, top, up, anchor="end", look="quiet", turned=True)
        size = TEXT if needed < cell - 4 else SMALL
        for number, name in enumerate(names):
            middle = (number + 0.5) * cell
            canvas.text(left - 6, top + middle + 4, fitting(name, side - 8), anchor="end")
            canvas.text(left + middle + 4, top - 6, fitting(name, head - 8), turned=True)
            for column, text in enumerate(shown[number]):
                part = float(share[number, column])
                x, y = left + column * cell, top + number * cell
                canvas.rectangle(x, y, cell, cell, "heat", opacity=part, outline="grid")
                if text:
                    look = "on" if part > 0.62 else "off"
                    canvas.text(x + cell / 2, y + cell / 2 + 4, text, anchor="middle", look=look, size=size)
        canvas.height = top + k * cell + 2
        return canvas

    return chart(alt, draw, caption=caption)


@dataclass(frozen=True)
class Cloud:
    """Points ``[N, 2]`` of one name and color."""

    name: str
    color: str
    points: npt.NDArray[Any] = field(repr=False)


def clouds_chart(
    alt: str, clouds: Sequence[Cloud], *, across: str, up: str, aspect: float | None = None, caption: str = ""
) -> Chart:
    """Draw points as dots, with their names below; `aspect` is how many units across are as long as one up."""
    every = np.concatenate([cloud.points for cloud in clouds]).astype(np.float64)
    (x_low, y_low), (x_high, y_high) = every.min(axis=0).tolist(), every.max(axis=0).tolist()
    x_pad, y_pad = (0.03 * (high - low or 1) for low, high in ((x_low, x_high), (y_low, y_high)))
    lines = [Line(c.points[:, 0], c.points[:, 1], c.name, c.color, dots=True, joined=False) for c in clouds]
    panel = Panel(lines, x=(x_low - x_pad, x_high + x_pad), y=(y_low - y_pad, y_high + y_pad), across=across, up=up)

    def draw(width: float) -> Canvas:
        canvas = Canvas(width)
        tall = 0.62 * width if width >= WIDE else 0.9 * width
        if aspect is not None:
            span = (panel.x[1] - panel.x[0]) / aspect / (panel.y[1] - panel.y[0])
            tall = min(max(width / span, 0.3 * width), 1.2 * width)
        canvas.height = _draw_panel(canvas, panel, left=0, top=0, width=width, tall=tall)
        return canvas

    return chart(alt, draw, caption=caption)


def _n(value: float) -> str:
    """A length in few letters."""
    return f"{round(value, 1) + 0:g}" if abs(value) < 1e5 else f"{value:.0f}"


def _paint(color: str, kind: str, attribute: str) -> str:
    """How an element gets its color: by a class, or by its own, which programs without styles see as well."""
    line = "l " if kind == "l" else ""
    if not color.startswith("#"):
        return f'class="{line}{kind}-{color}"'
    return f'class="{line}{kind}-own" style="--own:{color}" {attribute}="{color}"'
