"""``swath data``: download, index, audit, split, report on and clean labeled patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swath.cli.options import Index, Overwrite

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Download, index, audit, split, report on and clean labeled patches.",
)
IndexOut = Annotated[Path, typer.Option(help="Index to write, ending in .parquet.")]


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Name of a published data set: eurosat-rgb.")],
    out: Annotated[Path, typer.Option(help="File or folder to download to.")] = Path(),
    mirror: Annotated[str | None, typer.Option(help="File or URL to take the archive from instead.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Download a published archive, resuming an interrupted download, and verify its checksum.

    Proxies are taken from the environment.

    Example: swath data get eurosat-rgb --out data/
    """
    from swath.data import get as run
    from swath.progress import Bars

    with Bars() as progress:
        path = run(name, out, mirror=mirror, overwrite=overwrite, progress=progress)
    typer.echo(f"{path}: checksum verified")


@app.command()
def index(
    source: Annotated[
        str,
        typer.Argument(help="Folder of class folders, CSV, zip of either, COCO-style JSON, or eurosat-mini."),
    ],
    out: IndexOut,
    part_of: Annotated[
        str | None,
        typer.Option(
            help="Published data set it is part or a copy of, for its license and GSD: eurosat-rgb."
        ),
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and count them.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Check every image once and write the patch index that all other commands use.

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
        typer.echo(
            f"next: swath data audit {out}, then swath data split {out} --out {out} --overwrite", err=True
        )


@app.command()
def audit(
    index: Index,
    out: Annotated[Path | None, typer.Option(help="JSON file to write the audit to as well.")] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with status 1 if a duplicate or group lies in more than one split."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Find what would make a result wrong: duplicates, leaks across splits, unusual files, uneven classes.

    Example: swath data audit eurosat.parquet --out audit.json --strict
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
    if strict and found.crossing:
        typer.echo(f"swath: {found.crossing:,} duplicates or groups lie in more than one split", err=True)
        raise typer.Exit(1)


@app.command()
def split(
    index: Index,
    out: IndexOut,
    val: Annotated[
        float | None,
        typer.Option(help="Share of each class for validation. [default: 0.2, or the --val-list]"),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Share of each class for testing. [default: 0.2, or the --test-list]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="0")] = None,
    train_list: Annotated[
        Path | None, typer.Option(help="Text or CSV file listing the train patches.")
    ] = None,
    val_list: Annotated[Path | None, typer.Option(help="Text or CSV file listing the val patches.")] = None,
    test_list: Annotated[Path | None, typer.Option(help="Text or CSV file listing the test patches.")] = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Ignore the splits the index has.")] = False,
    by: Annotated[
        Literal["random", "block", "group"],
        typer.Option(help="Grouping besides duplicates: none, spatial block, or group column."),
    ] = "random",
    block_km: Annotated[
        float | None, typer.Option(help="Side of a spatial block, km.", show_default="10")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Number of cross-validation folds.")] = None,
    fold: Annotated[int, typer.Option(help="Fold to use as the test split, from 0.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Split an index into train, val and test: stratified by class and in whole groups, or from lists.

    Near duplicates are grouped first, so that they stay in one split.

    Example: swath data split eurosat.parquet --out eurosat.parquet --overwrite

    Spatial blocks: swath data split scenes.parquet --by block --block-km 10 --resplit --out blocks.parquet

    Published lists, and val taken from the train list:
    swath data split eurosat.parquet --train-list train.csv --test-list test.csv --val 0.1 --out lists.parquet
    """
    from swath.data import group_duplicates, read_index, split_index, write_index
    from swath.data.spatial import BLOCK_KM, OPTIMISTIC_BIAS
    from swath.errors import SettingError
    from swath.files import check_output
    from swath.progress import Bars

    check_output(out, overwrite=overwrite)
    named = {"train": train_list, "val": val_list, "test": test_list}
    lists = {side: path for side, path in named.items() if path is not None} or None
    if lists and val is None and seed is not None:
        raise SettingError("lists say which patch goes where", fix="leave --seed out, or give --val")
    if block_km is not None and by != "block":
        raise SettingError("--block-km is the side of blocks", fix="add --by block, or leave it out")
    given = read_index(index)
    with Bars() as progress:
        made = split_index(
            given if lists else group_duplicates(given, progress=progress),
            by=by,
            block_km=BLOCK_KM if block_km is None else block_km,
            val=val,
            test=test,
            seed=seed or 0,
            lists=lists,
            folds=folds,
            fold=fold,
            keep=not resplit,
            progress=progress,
        )
    asked = val is not None or test is not None or seed is not None or by != "random"
    if asked and not lists and made.column("split") == given.column("split"):
        raise SettingError(
            "the index has all its splits, so nothing was cut", fix="pass --resplit to split again"
        )
    write_index(made, out, overwrite=overwrite)
    counts = ", ".join(f"{n:,} {side or 'in no split'}" for side, n in made.split_counts.items())
    typer.echo(f"{counts}: {out}")
    if OPTIMISTIC_BIAS in made.split_protocol:
        typer.echo(f"splits: {made.split_protocol}", err=True)


@app.command()
def binary(
    index: Index,
    positive: Annotated[str, typer.Option(help="The positive class.")],
    out: IndexOut,
    negatives_per_positive: Annotated[
        float | None, typer.Option(help="Other patches to draw per positive one; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the draw.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make an index of two classes: one class, and "not" that class. Splits and groups are kept.

    Example: swath data binary eurosat.parquet --positive River --negatives-per-positive 10 --out river.parquet
    """
    from swath.data import binary_index, read_index, write_index
    from swath.files import check_output

    check_output(out, overwrite=overwrite)
    given = read_index(index)
    made = binary_index(given, positive, negatives_per_positive=negatives_per_positive, seed=seed)
    write_index(made, out, overwrite=overwrite)
    for split in made.split_counts:
        rows = zip(made.labels, made.table.column("split").to_pylist(), strict=True)
        sides = [label == positive for label, side in rows if side == split]
        typer.echo(f"{split or 'no split'}: {sum(sides):,} {positive}, {len(sides) - sum(sides):,} others")
    typer.echo(f"{len(made):,} of {len(given):,} patches: {out}")


@app.command()
def resample(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: patches and index.parquet.")],
    gsd: Annotated[
        float | None, typer.Option(help="Target ground sampling distance, meters per pixel.")
    ] = None,
    factor: Annotated[float | None, typer.Option(help="Instead of --gsd: how many times coarser.")] = None,
    from_gsd: Annotated[
        float | None, typer.Option(help="Present GSD, where the index does not state it.")
    ] = None,
    sensor_blur: Annotated[
        bool,
        typer.Option("--sensor-blur/--no-sensor-blur", help="Blur as a sensor's point spread function does."),
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Resample patches to a coarser GSD, as a coarser sensor would have recorded them, to pre-train on.

    Labels, groups and splits are kept.

    Example: swath data resample ucmerced.parquet --gsd 2.4 --from-gsd 0.3 --out ucmerced-2.4m
    """
    from swath.data import read_index, resample_index
    from swath.progress import Bars

    with Bars() as progress:
        made = resample_index(
            read_index(index),
            out,
            gsd=gsd,
            factor=factor,
            gsd_from=from_gsd,
            sensor_blur=sensor_blur,
            overwrite=overwrite,
            progress=progress,
        )
    side = min(made.table["width"].to_pylist())
    typer.echo(f"{len(made):,} patches, {side} pixels wide or more: {out / 'index.parquet'}")
    if side < 16:
        typer.echo(f"{side} pixels show little; use a smaller factor or a finer --gsd", err=True)


@app.command()
def relabel(
    index: Index,
    review: Annotated[
        Path, typer.Argument(help="label_issues.csv of swath label-issues, its column 'verdict' filled in.")
    ],
    out: IndexOut,
    overwrite: Overwrite = False,
) -> None:
    """Apply the verdicts of a label review: write an index with corrected labels and without dropped patches.

    Verdicts: ok, relabel (to the suggested class), drop, or a class name. Splits and groups are kept.

    Example: swath data relabel eurosat.parquet look/label_issues.csv --out reviewed.parquet
    """
    from swath.data import read_index, write_index
    from swath.data import relabel as run
    from swath.files import check_output

    check_output(out, overwrite=overwrite)
    made = run(read_index(index), review)
    write_index(made.index, out, overwrite=overwrite)
    for line in made.lines():
        typer.echo(line)
    typer.echo(f"{len(made.index):,} patches: {out}")


@app.command()
def report(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.html and facts.json.")],
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page about a data set: its contents, and whether a score on it is reliable.

    Duplicates, leaks, files of EuroSAT, shortcuts by file headers, colors, outliers, maps.

    Example: swath data report eurosat.parquet --out look/
    """
    from swath.data import read_index
    from swath.datareport import data_report, verdict
    from swath.progress import Bars

    with Bars() as progress:
        facts = data_report(read_index(index), out, overwrite=overwrite, progress=progress)
    typer.echo(verdict(facts))
    typer.echo(f"written: {out / 'index.html'}")


@app.command()
def fix(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.parquet, patches/ and fix.json.")],
    size: Annotated[
        int | None, typer.Option(help="Side of all patches, pixels; by default the most frequent one.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a cleaned copy: no duplicate files, one size, mode and format, near duplicates grouped.

    The source is not changed; fix.json lists every change.

    Example: swath data fix scenes.parquet --out scenes-clean
    """
    from swath.data import fix_index, read_index
    from swath.progress import Bars

    with Bars() as progress:
        fixed = fix_index(read_index(index), out, size=size, overwrite=overwrite, progress=progress)
    for line in fixed.lines():
        typer.echo(line)
    typer.echo(f"written: {out / 'index.parquet'}")
