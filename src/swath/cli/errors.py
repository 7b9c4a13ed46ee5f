"""``swath errors`` and ``swath suspects``: where the model errs, and where the labels do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, Threads


def errors(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.html, errors.csv, errors.json.")],
    split: Annotated[
        str, typer.Option(help="val, test or train. Who acts on what test shows needs another test.")
    ] = "val",
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Look at a model's mistakes: confused pairs, weakest classes, slices, and where the network looked.

    Example: swath errors runs/mine/model.onnx index.parquet --out runs/mine/errors
    """
    from swath.data import read_index
    from swath.evaluation.errors import find_errors
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        found = find_errors(
            classifier, read_index(index), out=out, split=split, overwrite=overwrite, progress=progress
        )
    for line in found.lines():
        typer.echo(line)
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")


def suspects(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: suspects.csv, suspects.html, folds.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe of the networks, one a fold: by default flash, or quickstart for few patches."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe: epochs=5")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Train nothing: use the features of this model, in seconds.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts; each is judged by what the others teach.")] = 4,
    seed: Annotated[int, typer.Option(help="Another seed gives other folds.")] = 0,
    with_test: Annotated[
        bool, typer.Option("--with-test", help="Judge test patches too, and record that the test was opened.")
    ] = False,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """List patches whose label is probably wrong, for a person to review; see also: swath data relabel.

    A stopped run goes on when the command is given again. Example: swath suspects index.parquet --out look/
    """
    from swath.cli.train import require_training
    from swath.data import read_index
    from swath.errors import SettingError
    from swath.pipelines.suspects import find_suspects
    from swath.progress import Bars

    if model is not None and (recipe is not None or set_):
        raise SettingError("--model trains nothing, --recipe and --set do", fix="pass one of them")
    if model is None:
        require_training()
    with Bars() as progress:
        made = find_suspects(
            read_index(index),
            out=out,
            recipe=recipe,
            changes=set_,
            model=model,
            folds=folds,
            seed=seed,
            with_test=with_test,
            engine=engine,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(
        f"{made.candidates:,} of {made.patches:,} patches are suspects; about {made.estimated:,.0f} labels are "
        "wrong, as estimated"
    )
    typer.echo(f"list: {made.table}; page: {made.page.resolve().as_uri()}")
    typer.echo(
        "next: fill in its column 'verdict' (ok, relabel, drop or a class), then: "
        f"swath data relabel {index} {made.table} --out INDEX2",
        err=True,
    )
