"""``swath data``: fetch, index, audit and split labelled patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Index, Overwrite

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Labelled patches: fetch, index, audit, split."
)

IndexOut = Annotated[Path, typer.Option(help="Index to write, ending in .parquet.")]


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A data set known by name: eurosat-rgb.")],
    out: Annotated[Path, typer.Option(help="File or folder to download to.")] = Path(),
    mirror: Annotated[
        str | None, typer.Option(help="Take the archive from this file or URL instead.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Download a published archive; it goes on where it broke off, and its checksum is verified.

    Proxies are taken from the environment. Example: swath data get eurosat-rgb --out data/
    """
    from swath.data import get as run
    from swath.progress import Bars

    with Bars() as progress:
        path = run(name, out, mirror=mirror, overwrite=overwrite, progress=progress)
    typer.echo(f"{path}: checksum verified")


@app.command()
def index(
    source: Annotated[
        str, typer.Argument(help="Folder of class folders, CSV, zip of either, or eurosat-mini.")
    ],
    out: IndexOut,
    part_of: Annotated[
        str | None,
        typer.Option(help="Published set it is a part or copy of, for its licence and scale: eurosat-rgb."),
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and count them.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Check every image once and write the patch index that all other commands take.

    Example: swath data index EuroSAT_RGB.zip --out eurosat.parquet
    """
    from swath.data import build_index, write_index
    from swath.files import check_output
    from swath.progress import Bars

    check_output(out, overwrite=overwrite)
    with Bars() as progress:
        made = build_index(source, part_of=part_of, skip_unreadable=skip_unreadable, progress=progress)
    write_index(made, out, overwrite=overwrite)
    typer.echo(f"{len(made):,} patches in {len(made.classes)} classes: {out}")
    if made.skipped:
        typer.echo(
            f"{len(made.skipped)} unreadable images left out, the first is {made.skipped[0]}", err=True
        )
    if made.ignored:
        typer.echo(f"{made.ignored} files of other kinds passed over", err=True)
    if None in made.split_counts:
        typer.echo(f"next: swath data audit {out}, then swath data split {out} --out {out}", err=True)


@app.command()
def audit(
    index: Index,
    out: Annotated[Path | None, typer.Option(help="Also write the findings as JSON.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look for what would spoil a result: duplicates, leaks across splits, odd files, uneven classes.

    Example: swath data audit eurosat.parquet --out audit.json
    """
    from swath.data import audit as run
    from swath.data import read_index, write_audit
    from swath.progress import Bars

    with Bars() as progress:
        found = run(read_index(index), progress=progress)
    for line in found.lines():
        typer.echo(line)
    if out is not None:
        write_audit(found, out, overwrite=overwrite)


@app.command()
def split(
    index: Index,
    out: IndexOut,
    val: Annotated[float, typer.Option(help="Share of each class for validation.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share of each class for the test.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Another seed gives another split.")] = 0,
    train_list: Annotated[Path | None, typer.Option(help="File naming the train patches.")] = None,
    val_list: Annotated[Path | None, typer.Option(help="File naming the val patches.")] = None,
    test_list: Annotated[Path | None, typer.Option(help="File naming the test patches.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the splits the index has.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Cut an index into train, val and test: by class and in whole groups, or from lists.

    Near duplicates that an audit finds are grouped first, so that they stay on one side.
    Example: swath data split eurosat.parquet --out eurosat.parquet --overwrite
    """
    from swath.data import group_duplicates, read_index, split_index, write_index
    from swath.files import check_output
    from swath.progress import Bars

    check_output(out, overwrite=overwrite)
    named = {"train": train_list, "val": val_list, "test": test_list}
    lists = {side: path for side, path in named.items() if path is not None}
    given = read_index(index)
    with Bars() as progress:
        grouped = given if lists else group_duplicates(given, progress=progress)
    made = split_index(grouped, val=val, test=test, seed=seed, lists=lists or None, keep=not fresh)
    write_index(made, out, overwrite=overwrite)
    counts = ", ".join(f"{n:,} {side or 'in no split'}" for side, n in made.split_counts.items())
    typer.echo(f"{counts}: {out}")
