"""``swath report``: one page on a run or a model, the verdict first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Overwrite, Threads


def report(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="The folder of a training run, a .onnx file, or a shipped model's name.",
        ),
    ],
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: index.html, report.json, score/, stress/...")],
    split: Annotated[
        str, typer.Option(help="Of the score: test or val. Mistakes, shifts and maps are looked at on val.")
    ] = "test",
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer patches under shifts and in the check of maps.")
    ] = False,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model in every way and gather it on one page: what it is good for, where it fails, what to try.

    Example: swath report runs/mine index.parquet --out runs/mine/report
    """
    from swath.data import read_index
    from swath.evaluation.run_report import report as run
    from swath.progress import Bars

    with Bars() as progress:
        made = run(
            model,
            read_index(index),
            out=out,
            split=split,
            quick=quick,
            engine=engine,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    for name, sentences in made.verdict.parts.items():
        typer.echo(f"{name}:")
        for sentence in sentences:
            typer.echo(f"  {sentence}")
    typer.echo(f"page: {made.page.resolve().as_uri()}")
