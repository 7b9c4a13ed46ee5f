"""``swath data``: download, index, audit, split, report on and clean labeled patches.

Every command but ``get`` and ``index`` reads a patch index; those that change it write another one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swath.cli import options as opt

if TYPE_CHECKING:
    from swath.data import PatchIndex

app = opt.Commands("Download, index, audit, split, report on and clean labeled patches.")


GroupBy = Annotated[
    str | None,
    typer.Option(
        help="What keeps patches together: a column, or a regular expression with parentheses around the part of "
        "the path that names the scene."
    ),
]


def _complete_named() -> list[str]:
    from swath.data.named import NAMED

    return sorted(NAMED)


@app.command()
def get(
    name: Annotated[
        str, typer.Argument(help="Name of the data set: eurosat-rgb or scenes4.", autocompletion=_complete_named)
    ],
    out: Annotated[Path | None, opt.output("File or folder to download to.  [default: the current folder]")] = None,
    mirror: Annotated[str | None, typer.Option(help="File or URL to take the archive from instead.")] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="ZIP", help="Your own copy of a set that no host may offer: scenes4.")
    ] = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Download a published data set and verify its checksum.

    An interrupted download resumes. Proxies are taken from the environment.

    Example: swath data get eurosat-rgb --out data/

    Kaggle's four classes: swath data get scenes4 --file archive.zip --out data/
    """
    from swath.data import get as run
    from swath.data.named import find_named

    with opt.resumable():
        path = opt.with_bars(run, name, out or Path(), mirror=mirror, file=file, overwrite=overwrite)
    known = find_named(name)
    if not known.contents:
        typer.echo(f"{path}: checksum verified")
        opt.next_step("data", "index", path, "--out", f"{known.name}.parquet")
        return {"archive": path}
    typer.echo(f"{path}: recognized as {known.name} by its contents, {known.source}")
    typer.echo("license: not established, so neither the patches nor a model made of them may be passed on")
    for fault in known.faults:
        typer.echo(f"known: {fault}")
    opt.hint(f"then make one size, mode and format of it: swath data fix {known.name}.parquet --out {known.name}-clean")
    opt.next_step("data", "index", path, "--out", f"{known.name}.parquet")
    return {"archive": path, "license": known.license, "faults": known.faults}


@app.command()
def index(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, CSV, folder or zip of either, COCO-style JSON, export of Label Studio or "
            "CVAT, or eurosat-mini (shipped).",
            autocompletion=opt.complete_patches,
        ),
    ],
    out: opt.IndexOut,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL|FILE",
            help="What names the classes: a level of folders (1 is the top) or a table in SOURCE.  [default: as their "
            "names and contents tell]",
        ),
    ] = None,
    split: Annotated[
        opt.SplitName | None, typer.Option(help="Split of all patches, as of a test set alone: train, val or test.")
    ] = None,
    zip_encoding: Annotated[
        str | None,
        typer.Option(help="Encoding of names in a zip that does not say it, such as gbk.  [default: guessed]"),
    ] = None,
    part_of: Annotated[
        str | None,
        typer.Option(
            help="Published data set these patches come from, for license and ground resolution: eurosat-rgb.",
            autocompletion=_complete_named,
        ),
    ] = None,
    group_by: GroupBy = None,
    skip_unreadable: opt.SkipUnreadable = False,
    overwrite: opt.Overwrite = False,
) -> object:
    """Read every image once and write the patch index other commands use.

    Read are class folders, also within split folders (train, seg_test, ...) or folds, with splits within classes, and
    beneath wrapping folders; and tables with columns for path and label. What was decided and what was left out is
    printed. GeoTIFF patches also give their place, pixel size and footprint.

    Example: swath data index EuroSAT_RGB.zip --out eurosat.parquet

    Classes are the second folders: swath data index sites/ --labels 2 --out sites.parquet

    By scene: swath data index chips/ --group-by '(scene[0-9]+)_' --out chips.parquet
    """
    from swath.data import build_index, write_index
    from swath.data.audit import lookalike_warning
    from swath.data.grouping import suggestion
    from swath.data.names import describe_lookalikes, lookalikes
    from swath.files import check_output

    check_output(out, overwrite=overwrite)
    made = opt.with_bars(
        build_index,
        source,
        labels=int(labels) if labels is not None and labels.isdecimal() else labels,
        split=split,
        zip_encoding=zip_encoding,
        part_of=part_of,
        group_by=group_by,
        skip_unreadable=skip_unreadable,
    )
    write_index(made, out, overwrite=overwrite)
    typer.echo(f"{len(made):,} patches in {len(made.classes)} classes: {out}")
    if made.skipped:
        typer.echo(f"{len(made.skipped)} unreadable images skipped, the first is {made.skipped[0]}", err=True)
    for line in (*made.notes, *(one.line() for one in made.left_out)):
        typer.echo(line, err=True)
    if alike := lookalikes(made.class_counts):
        typer.echo(lookalike_warning(describe_lookalikes(alike, made.class_counts), str(out)), err=True)
    suggested = suggestion(made) if None in made.split_counts else None
    if suggested is not None:
        opt.hint(suggested.sentence())
    opt.next_step("data", "audit", out)
    return _summary(made, out) | {"skipped": made.skipped, "left_out": made.left_out, "notes": made.notes}


@app.command()
def audit(
    index: opt.Index,
    out: Annotated[Path | None, opt.output("JSON file to write the findings to as well.")] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with status 1 if duplicates, shared ground or groups are in several splits."
        ),
    ] = False,
    overwrite: opt.Overwrite = False,
) -> object:
    """Find duplicates, shared ground, leaks across splits, odd files and class imbalance.

    Example: swath data audit eurosat.parquet --out audit.json --strict
    """
    from swath.data import audit as run
    from swath.data import read_index, write_audit

    found = opt.with_bars(run, read_index(index))
    typer.echo("\n".join(found.lines()))
    if out is not None:
        write_audit(found, out, overwrite=overwrite)
    if strict and found.crossing:
        typer.echo(f"swath: {found.crossing:,} duplicates, overlaps or groups are in more than one split", err=True)
        raise opt.FailedCheck(found)
    opt.next_step("data", "split", index, "--out", index, "--overwrite")
    return found


@app.command()
def split(
    index: opt.Index,
    out: opt.IndexOut,
    val: Annotated[
        float | None,
        typer.Option(help="Fraction of each class for validation.  [default: 0.2, or what --val-list names]"),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Fraction of each class for the test.  [default: 0.2, or what --test-list names]"),
    ] = None,
    seed: opt.Seed = 0,
    train_list: Annotated[Path | None, typer.Option(help="File that lists the train patches.")] = None,
    val_list: Annotated[Path | None, typer.Option(help="File that lists the val patches.")] = None,
    test_list: Annotated[Path | None, typer.Option(help="File that lists the test patches.")] = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Ignore the splits the index already has.")] = False,
    by: Annotated[
        Literal["auto", "group", "scene", "block", "random"],
        typer.Option(
            help="What to keep whole besides duplicates and shared ground: group column, scene (of names), spatial "
            "block, or nothing (random). auto: the safest that the data allow."
        ),
    ] = "auto",
    group_by: GroupBy = None,
    block_km: Annotated[
        float | None, typer.Option(help="Side of a spatial block, kilometers.  [default: 10, less if too few]")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Number of cross-validation folds.")] = None,
    fold: Annotated[int, typer.Option(help="The fold that is the test, from 0.")] = 0,
    overwrite: opt.Overwrite = False,
) -> object:
    """Split an index into train, val and test.

    Splits are stratified by class, or taken from lists. Near duplicates, and patches that share ground, stay
    on one side. Splits that the index has are kept; --resplit makes all of them again.

    Example: swath data split eurosat.parquet --out eurosat.parquet --overwrite

    By place: swath data split scenes.parquet --by block --out blocks.parquet

    By scene: swath data split chips.parquet --group-by '(scene[0-9]+)_' --out chips-split.parquet

    By published lists, with --val 0.1 of the train list for val:

    swath data split a.parquet --train-list train.csv --test-list test.csv --val 0.1 -o b.parquet
    """
    from swath.data import group_duplicates, read_index, split_index, write_index
    from swath.data.grouping import group_index, suggestion
    from swath.data.spatial import split_warning
    from swath.data.splits import split_gaps
    from swath.errors import SettingError
    from swath.files import check_output

    check_output(out, overwrite=overwrite)
    named = {"train": train_list, "val": val_list, "test": test_list}
    lists = {side: path for side, path in named.items() if path is not None} or None
    if lists and val is None and seed:
        raise SettingError("lists say which patch goes where", fix="leave --seed out, or give --val")
    if block_km is not None and by != "block":
        raise SettingError("--block-km is the side of blocks", fix="add --by block, or leave it out")
    if lists and group_by is not None:
        raise SettingError("lists say which patch goes where", fix="leave --group-by out")
    given = read_index(index)
    note = ""
    if group_by is not None:
        given, note = group_index(given, group_by)
    made = opt.with_bars(
        split_index,
        given if lists else opt.with_bars(group_duplicates, given, resplit=resplit or folds is not None),
        by=by,
        block_km=block_km,
        val=val,
        test=test,
        seed=seed,
        lists=lists,
        folds=folds,
        fold=fold,
        keep=not resplit,
    )
    asked = val is not None or test is not None or seed != 0 or by != "auto" or group_by is not None
    if asked and not lists and made.column("split") == given.column("split"):
        raise SettingError("the index already has all its splits", fix="pass --resplit to split it again")
    write_index(made, out, overwrite=overwrite)
    counts = ", ".join(f"{n:,} {side or 'in no split'}" for side, n in made.split_counts.items())
    typer.echo(f"{counts}: {out}")
    for sentence in (note, *split_gaps(made), made.split_protocol and f"splits: {made.split_protocol}"):
        if sentence:
            typer.echo(sentence, err=True)
    suggested = suggestion(made) if split_warning(made.split_protocol) else None
    if suggested is not None:
        opt.hint(suggested.sentence())
    opt.next_step("train", out, "--out", _run(out))
    return _summary(made, out)


@app.command()
def binary(
    index: opt.Index,
    positive: Annotated[str, typer.Option(help="The positive class.")],
    out: opt.IndexOut,
    negatives_per_positive: Annotated[
        float | None, typer.Option(help="Negative patches to draw per positive one; by default, all.")
    ] = None,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> object:
    """Make a binary index: one class against all others.

    Splits and groups are kept.

    Example: swath data binary index.parquet --positive River -o river.parquet
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
    _after(made, out)
    return _summary(made, out)


@app.command()
def resample(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: the patches and index.parquet.")],
    gsd: Annotated[float | None, typer.Option(help="Target ground sampling distance, meters per pixel.")] = None,
    factor: Annotated[float | None, typer.Option(help="Or how many times coarser.")] = None,
    from_gsd: Annotated[
        float | None, typer.Option(help="Present ground sampling distance, where the index does not hold it.")
    ] = None,
    sensor_blur: Annotated[
        bool, typer.Option("--sensor-blur/--no-sensor-blur", help="Apply the point spread of a sensor.")
    ] = True,
    overwrite: opt.Overwrite = False,
) -> object:
    """Resample the patches to a coarser GSD, as another sensor records.

    Meant for pre-training on sharper patches. Labels, groups and splits are kept.

    Example: swath data resample fine.parquet --gsd 2.4 --out coarse/
    """
    from swath.data import read_index, resample_index

    made = opt.with_bars(
        resample_index,
        read_index(index),
        out,
        gsd=gsd,
        factor=factor,
        gsd_from=from_gsd,
        sensor_blur=sensor_blur,
        overwrite=overwrite,
    )
    side = min(made.table["width"].to_pylist())
    typer.echo(f"{len(made):,} patches, {side} pixels wide or more: {out / 'index.parquet'}")
    if side < 16:
        typer.echo(f"{side} pixels show little of a place; a smaller --factor leaves more", err=True)
    _after(made, out / "index.parquet")
    return _summary(made, out / "index.parquet")


@app.command()
def relabel(
    index: opt.Index,
    out: opt.IndexOut,
    review: Annotated[
        Path | None, typer.Argument(help="label_issues.csv of swath label-issues with its column 'verdict' filled in.")
    ] = None,
    merge_lookalikes: Annotated[
        bool, typer.Option("--merge-lookalikes", help="Make one class of names that look alike, instead of a review.")
    ] = False,
    overwrite: opt.Overwrite = False,
) -> object:
    """Apply reviewed label corrections to an index, or merge classes whose names look alike.

    Verdicts are ok, relabel (to the suggested class), drop, or the name of a class. Splits and groups are kept.

    Example: swath data relabel index.parquet reviewed.csv -o clean.parquet

    Forest and forest: swath data relabel index.parquet --merge-lookalikes -o clean.parquet
    """
    from swath.data import merge_lookalikes as merge
    from swath.data import read_index, write_index
    from swath.data import relabel as run
    from swath.errors import SettingError
    from swath.files import check_output

    if (review is None) != merge_lookalikes:
        raise SettingError(
            "relabel takes a review or --merge-lookalikes, one of the two", fix="swath data relabel --help shows both"
        )
    check_output(out, overwrite=overwrite)
    given = read_index(index)
    made = merge(given) if review is None else run(given, review)
    write_index(made.index, out, overwrite=overwrite)
    typer.echo("\n".join(made.lines()))
    typer.echo(f"{len(made.index):,} patches: {out}")
    _after(made.index, out)
    return _summary(made.index, out)


@app.command()
def report(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html and facts.json.")],
    overwrite: opt.Overwrite = False,
) -> object:
    """Write an HTML page about a data set and how far to trust scores on it.

    It shows duplicates, leaks, overlap with EuroSAT, classes separable by file headers or colors alone, outliers
    and maps.

    Example: swath data report eurosat.parquet --out data-report/
    """
    from swath.data import read_index
    from swath.datareport import data_report, verdict

    facts = opt.with_bars(data_report, read_index(index), out, overwrite=overwrite)
    typer.echo(verdict(facts))
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.next_step("data", "fix", index, "--out", index.with_name(f"{index.stem}-clean"))
    return {"verdict": verdict(facts), "page": out / "index.html", "facts": out / "facts.json"}


@app.command()
def fix(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.parquet, patches/ and fix.json.")],
    size: Annotated[
        int | None, typer.Option(help="Side of the patches in pixels; by default, the most common.")
    ] = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Write a cleaned copy: no surplus copies, one size, mode and format.

    Near duplicates are grouped. The source is not changed; fix.json lists every change.

    Example: swath data fix scenes.parquet --out scenes-clean
    """
    from swath.data import fix_index, read_index

    fixed = opt.with_bars(fix_index, read_index(index), out, size=size, overwrite=overwrite)
    typer.echo("\n".join(fixed.lines()))
    typer.echo(f"written: {out / 'index.parquet'}")
    opt.next_step("data", "audit", out / "index.parquet")
    return fixed


def _run(index: Path) -> Path:
    """Folder to propose for a run on an index."""
    return Path("runs", index.parent.name if index.stem == "index" and index.parent.name else index.stem)


def _after(made: PatchIndex, out: Path) -> None:
    """What to do with an index: split it, or train on it."""
    if None in made.split_counts:
        opt.next_step("data", "split", out, "--out", out, "--overwrite")
    else:
        opt.next_step("train", out, "--out", _run(out))


def _summary(index: PatchIndex, out: Path) -> dict[str, object]:
    """What ``--json`` prints of an index that was written."""
    counts = {name or "none": count for name, count in index.split_counts.items()}
    return {"index": out, "patches": len(index), "classes": index.classes, "splits": counts}
