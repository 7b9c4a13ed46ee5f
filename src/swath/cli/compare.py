"""``swath compare``: two models on the same patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, Threads


def compare(
    first: Model,
    second: Annotated[str, typer.Argument(help="The model to hold it against.")],
    index: Index,
    split: Annotated[str, typer.Option(help="val, test or train.")] = "val",
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write; needed to open the test split.")
    ] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Is one model better than another? Paired tests on the same patches, whole and class by class.

    Example: swath compare runs/a/model.onnx runs/b/model.onnx index.parquet --split val
    """
    from swath.data import read_index
    from swath.evaluation.compare import compare as run
    from swath.inference import load
    from swath.progress import Bars

    one, two = (load(model, engine=engine, threads=threads) for model in (first, second))
    with Bars() as progress:
        result = run(
            one, two, read_index(index), split=split, out=out, overwrite=overwrite, progress=progress
        )
    for line in result.lines():
        typer.echo(line)
    if out is not None:
        typer.echo(f"written to {out}")
