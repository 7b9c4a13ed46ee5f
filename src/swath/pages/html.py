"""A report page: one HTML file with everything inside, that opens offline in any browser.

Pictures are embedded; there is no script and no address to load anything from, and the page's own
content policy forbids both. Whatever text comes in (class names, paths) is escaped.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from swath.errors import DataError
from swath.files import atomic_file
from swath.pages.charts import NARROW, WIDE, Chart, chart_style, text_width
from swath.pages.text import IntervalEstimate, percent, plain_number

MAX_IMAGE_BYTES = 16 * 2**20
WIDTHS = (320, 400, 480, 560, 640, 720, 800, 880, 960, 1040)  # pixels at which tables change their form
_GAP, _HEADER, _ESTIMATE, _SENTENCE = 18, 120, 175, 170  # pixels of a table's columns
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


@dataclass(frozen=True)
class Number:
    """A key number: an estimate is shown in percent with its interval, text as it is."""

    label: str
    value: IntervalEstimate | str
    note: str = ""


@dataclass(frozen=True)
class Swatch:
    """A table cell with a class's color (RRGGBB) before its name."""

    color: str
    name: str


Cell = str | int | float | IntervalEstimate | Swatch


@dataclass(frozen=True)
class Table:
    """A table: the first column names the rows; estimates are drawn with their intervals.

    Where its columns do not fit, each row becomes a block of lines, one per column; `sideways`, for tables of very
    many columns, keeps the columns and lets the reader move them.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    sideways: bool = False


@dataclass(frozen=True)
class Image:
    """A PNG, JPEG or GIF to embed; `alt` says in words what it shows."""

    source: Path | bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Link:
    """A file to open from the page; linked relative to it, so that the folder can be moved."""

    label: str
    target: Path
    note: str = ""


Kind = Literal["good", "fails", "beware", "next"]
WORDS: dict[Kind, str] = {"good": "Good for", "fails": "Fails at", "beware": "Beware", "next": "Do next"}


@dataclass(frozen=True)
class Point:
    """One line to see first: what kind of finding, one number, what it is, and its interval in small print.

    `head` takes the place of the word that the kind is named by.
    """

    kind: Kind
    text: str
    number: str = ""
    small: str = ""
    head: str = ""

    @property
    def word(self) -> str:
        """The kind in words: no reader depends on a color."""
        return self.head or WORDS[self.kind]


@dataclass(frozen=True)
class Listing:
    """Sentences one below the other, with a heading."""

    title: str
    items: Sequence[str]


@dataclass(frozen=True)
class Section:
    """One part of a report: its pieces are shown in the order of the fields."""

    title: str
    lists: Sequence[Listing] = ()
    text: Sequence[str] = ()
    numbers: Sequence[Number] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    images: Sequence[Image | Chart] = ()
    strips: Sequence[Image] = ()  # rows of patches, each next to its caption
    tiles: Sequence[Image] = ()  # many small pictures, each above its caption
    small_tiles: bool = False
    links: Sequence[Link] = ()


def write_report(
    out: Path,
    sections: Sequence[Section],
    *,
    title: str,
    summary: str = "",
    points: Sequence[Point] = (),
    numbers: Sequence[Number] = (),
    links: Sequence[Link] = (),
    overwrite: bool = False,
) -> None:
    """Write a self-contained HTML page.

    Parameters
    ----------
    out : Path
        The ``.html`` file to write.
    sections : sequence of Section
        In reading order.
    title : str
        Heading of the page.
    summary : str
        One paragraph under the heading.
    points : sequence of Point
        The few findings to see first.
    numbers : sequence of Number
        The few numbers to see first.
    links : sequence of Link
        The few files to open first.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    DataError
        If a picture is missing, is not a PNG, JPEG or GIF, or is too large to embed.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    environment = _environment(out.resolve().parent)
    page = environment.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        points=points,
        numbers=numbers,
        links=links,
        sections=[(slug, section) for slug, section in zip(_slugs(sections), sections, strict=True)],
    )
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")


def embedded(source: Path | bytes) -> str:
    """Give a picture as a ``data:`` address.

    Raises
    ------
    DataError
        If it is missing, is not a PNG, JPEG or GIF, or is larger than :data:`MAX_IMAGE_BYTES`.
    """
    name = str(source) if isinstance(source, Path) else "a picture of the report"
    if isinstance(source, Path):
        try:
            size = source.stat().st_size
            data = source.read_bytes() if size <= MAX_IMAGE_BYTES else b""
        except OSError as error:
            raise DataError(f"cannot read {name} for the report ({error.strerror})") from error
    else:
        size, data = len(source), source
    if size > MAX_IMAGE_BYTES:
        raise DataError(
            f"{name} has {size / 2**20:.0f} MiB, too many to embed in a page",
            fix=f"write a smaller picture, at most {MAX_IMAGE_BYTES // 2**20} MiB",
        )
    kind = next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), None)
    if kind is None:
        raise DataError(f"{name} is not a PNG, JPEG or GIF picture", fix="give one of these to the report")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"report.html.j2": _package_text("report.html.j2")}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def address(target: Path) -> str:
        return quote(Path(os.path.relpath(target.resolve(), folder)).as_posix())

    environment.filters |= {
        "percent": percent,
        "embedded": embedded,
        "address": address,
        "number": plain_number,
        "stacking": lambda table: f"below-{_width_class(table)}",
        "sideways": _is_sideways,
    }
    environment.tests |= {
        "chart": lambda value: isinstance(value, Chart),
        "estimate": lambda value: isinstance(value, IntervalEstimate),
        "swatch": lambda value: isinstance(value, Swatch),
    }
    style = "\n".join([_package_text("report.css"), *map(_stacked, WIDTHS), chart_style()])
    environment.globals["css"] = Markup(style)  # noqa: S704 our own files, no input in them
    return environment


def _is_sideways(svg: str, name: str) -> bool:
    """Whether a drawing is wider than the column it is for."""
    found = re.search(r' width="(\d+)"', svg)
    return found is not None and int(found[1]) > (WIDE if name == "wide" else NARROW)


def _width_class(table: Table) -> int:
    """The narrowest of :data:`WIDTHS` in which all columns of a table fit side by side; 0 for sideways ones."""
    if table.sideways:
        return 0
    needed = sum(
        _GAP + max([min(text_width(name, size=14.5), _HEADER), *(_needed(row[place]) for row in table.rows)])
        for place, name in enumerate(table.columns)
    )
    return next((width for width in WIDTHS if width >= needed), WIDTHS[-1])


def _needed(cell: Cell) -> float:
    if isinstance(cell, IntervalEstimate):
        return _ESTIMATE
    if isinstance(cell, Swatch):
        return 26 + text_width(cell.name, size=16)
    if isinstance(cell, str):  # long ones may break between words
        longest = max((text_width(word, size=16) for word in cell.split()), default=0)
        return max(min(text_width(cell, size=16), _SENTENCE), longest)
    return text_width(plain_number(cell), size=16)


def _stacked(width: int) -> str:
    """The style that makes a block of lines of each row of a table that needs `width` pixels and has fewer."""
    rules = _package_text("stacked.css").replace("TABLE", f".below-{width}")
    return f"@container (max-width: {width - 1}px) {{ {rules} }}"


@cache
def _package_text(name: str) -> str:
    return resources.files("swath.pages").joinpath(name).read_text(encoding="utf-8")


def _slugs(sections: Sequence[Section]) -> list[str]:
    """Addresses inside the page, one per section, all different."""
    taken: list[str] = []
    for number, section in enumerate(sections, start=1):
        slug = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        taken.append(slug if slug not in taken else f"{slug}-{number}")
    return taken
