"""``swath data report`` and ``swath data fix``: whether to believe a data set, and a cleaned copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Index, Overwrite


def report(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.html and facts.json.")],
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page about a data set: what is in it, and whether a score on it can be believed.

    Duplicates, leaks, files of EuroSAT, what headers alone tell of the class, colours, outliers, maps.

    Example: swath data report eurosat.parquet --out look/
    """
    from swath.data import read_index
    from swath.datareport import data_report, verdict
    from swath.progress import Bars

    with Bars() as progress:
        facts = data_report(read_index(index), out, overwrite=overwrite, progress=progress)
    typer.echo(verdict(facts))
    typer.echo(f"written: {out / 'index.html'}")


def fix(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.parquet, patches/ and fix.json.")],
    size: Annotated[
        int | None, typer.Option(help="Side of all patches, pixels; the commonest if left out.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a cleaned copy: no file twice, all of one size, mode and format, near duplicates grouped.

    The source stays as it is; fix.json says everything that changed.

    Example: swath data fix scenes.parquet --out scenes-clean
    """
    from swath.data import fix_index, read_index
    from swath.progress import Bars

    with Bars() as progress:
        fixed = fix_index(read_index(index), out, size=size, overwrite=overwrite, progress=progress)
    for line in fixed.lines():
        typer.echo(line)
    typer.echo(f"written: {out / 'index.parquet'}")
