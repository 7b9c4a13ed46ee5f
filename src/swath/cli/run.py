"""``swath predict``, ``evaluate`` and ``explain``: use a model on images and indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, Threads

Inputs = Annotated[list[Path], typer.Argument(help="Images, folders or zip archives.")]


def predict(
    model: Model,
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .json or .parquet.")],
    top_k: Annotated[int | None, typer.Option(help="Also list the K most probable classes.")] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Pass over images that cannot be read, and count them.")
    ] = False,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Classify images: path, label, confidence and the probability of every class.

    Example: swath predict eurosat patches/ --out preds.csv --top-k 3
    """
    from swath.inference import load, predict_files
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        summary = predict_files(
            classifier,
            inputs,
            out,
            top_k=top_k,
            skip_unreadable=skip_unreadable,
            overwrite=overwrite,
            progress=progress,
        )
    for label, count in summary.counts.items():
        typer.echo(f"{count:>8,}  {label}")
    if summary.skipped:
        typer.echo(
            f"{len(summary.skipped)} images could not be read, the first is {summary.skipped[0]}", err=True
        )
    if summary.other_sizes:
        typer.echo(
            f"{summary.other_sizes} images are not {classifier.size} x {classifier.size} px, the size the model "
            "was trained at, and were resized: check that their ground resolution fits",
            err=True,
        )
    typer.echo(f"{summary.rows:,} rows in {out} (engine: {classifier.engine})")


def evaluate(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: metrics.json, confusion.csv and .png...")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model on one split, beside two simple baselines; every number with its 95 % interval.

    Example: swath evaluate runs/mine/model.onnx index.parquet --split test --out runs/mine/test
    """
    from swath.data import read_index
    from swath.evaluation import evaluate as run
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        result = run(
            classifier, read_index(index), split=split, out=out, overwrite=overwrite, progress=progress
        )
    for line in result.lines():
        typer.echo(line)
    typer.echo(f"written to {out}")


def explain(
    model: Model,
    images: Inputs,
    out: Annotated[Path, typer.Option(help="Folder to write one PNG an image and explain.csv into.")],
    class_name: Annotated[
        str | None, typer.Option("--class", help="Explain this class instead of the predicted one.")
    ] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw where the network saw evidence for a class: an exact class activation map over the image.

    Example: swath explain eurosat field.jpg --out why/ --class AnnualCrop
    """
    from swath.explain import explain_images
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        rows = explain_images(
            classifier, images, out, class_name=class_name, overwrite=overwrite, progress=progress
        )
    for row in rows[:20]:
        typer.echo(f"{row.picture}: {row.label} ({100 * row.confidence:.1f} %), map of {row.explained}")
    typer.echo(f"{len(rows)} pictures in {out}")
