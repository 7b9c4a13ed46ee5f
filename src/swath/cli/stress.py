"""``swath stress``: how a model holds under shifts of sensor, atmosphere and weather."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, Threads


def stress(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.html, stress.json, stress.csv...")],
    split: Annotated[
        str, typer.Option(help="val, test or train. Who acts on what test shows needs another test.")
    ] = "val",
    patches: Annotated[int, typer.Option(help="Patches to draw; 0: all.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed gives other patches and other clouds.")] = 0,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Test a model under 13 shifts at five strengths: atmosphere, haze, blur, noise, clouds, JPEG and others.

    Example: swath stress runs/mine/model.onnx index.parquet --out runs/mine/stress
    """
    from swath.data import read_index
    from swath.evaluation.stress import stress as run
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        result = run(
            classifier,
            read_index(index),
            out=out,
            split=split,
            patches=patches,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    for line in result.lines():
        typer.echo(line)
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
