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
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from swath.errors import DataError
from swath.files import atomic_file
from swath.pages.text import IntervalEstimate, percent, plain_number

MAX_IMAGE_BYTES = 16 * 2**20
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
    """A table: the first column names the rows; estimates are drawn with their intervals."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


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


@dataclass(frozen=True)
class Section:
    """One part of a report: its pieces are shown in the order of the fields."""

    title: str
    text: Sequence[str] = ()
    numbers: Sequence[Number] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    images: Sequence[Image] = ()
    tiles: Sequence[Image] = ()  # many small pictures, each above its caption
    links: Sequence[Link] = ()


def write_report(
    out: Path,
    sections: Sequence[Section],
    *,
    title: str,
    summary: str = "",
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

    environment.filters |= {"percent": percent, "embedded": embedded, "address": address, "number": plain_number}
    environment.tests |= {
        "estimate": lambda value: isinstance(value, IntervalEstimate),
        "swatch": lambda value: isinstance(value, Swatch),
    }
    environment.globals["css"] = Markup(_package_text("report.css"))  # noqa: S704 our own file, no input in it
    return environment


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
