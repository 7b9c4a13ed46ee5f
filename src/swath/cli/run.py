"""``swath predict`` and ``evaluate``: use a model on images and indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Harmonise, Index, Model, Overwrite, Threads, Views

Inputs = Annotated[list[Path], typer.Argument(help="Images, folders or zip archives.")]


def predict(
    model: Model,
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .json or .parquet.")],
    top_k: Annotated[int | None, typer.Option(help="Also list the K most probable classes.")] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Pass over images that cannot be read, and count them.")
    ] = False,
    harmonise: Harmonise = "off",
    engine: Engine = "auto",
    threads: Threads = None,
    views: Views = 1,
    overwrite: Overwrite = False,
) -> None:
    """Classify images: path, label (or labels), confidence and the probability of every class.

    Example: swath predict eurosat patches/ --out preds.csv --top-k 3
    """
    from swath.inference import load, predict_files
    from swath.progress import Bars
    from swath.words import counted

    classifier = load(model, engine=engine, threads=threads, views=views)
    with Bars() as progress:
        summary = predict_files(
            classifier,
            inputs,
            out,
            top_k=top_k,
            skip_unreadable=skip_unreadable,
            harmonise=harmonise,
            overwrite=overwrite,
            progress=progress,
        )
    for label, count in summary.counts.items():
        typer.echo(f"{count:>8,}  {label}")
    if summary.skipped:
        typer.echo(
            f"{counted(len(summary.skipped), 'image', 'images')} could not be read, the first is {summary.skipped[0]}",
            err=True,
        )
    if summary.other_sizes:
        typer.echo(
            f"{counted(summary.other_sizes, 'image is', 'images are')} not {classifier.size} x {classifier.size} px, "
            "the size the model was trained at: resized, so check that the ground resolution fits",
            err=True,
        )
    if summary.unlike:
        typer.echo(
            f"warning: {counted(summary.unlike, 'image', 'images')} ({100 * summary.unlike / summary.rows:.1f} %) not "
            "like the training data: the answer means little there (column unlike_training)",
            err=True,
        )
    if summary.harmony.warning:
        typer.echo(f"warning: {summary.harmony.warning}", err=True)
    elif harmonise != "off":
        typer.echo(f"harmonise {harmonise}: {summary.harmony.sentence}", err=True)
    typer.echo(f"{counted(summary.rows, 'row', 'rows')} in {out} (engine: {classifier.engine})")


def evaluate(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: metrics.json, confusion.csv and .png...")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    threshold: Annotated[float | None, typer.Option(hidden=True)] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    views: Views = 1,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model on one split, beside two simple baselines; every number with its 95 % interval.

    Thresholds are those of the model file; swath model threshold chooses them anew, on validation patches.

    Example: swath evaluate runs/mine/model.onnx index.parquet --split test --out runs/mine/test
    """
    from swath.data import read_index
    from swath.errors import SettingError
    from swath.evaluation import evaluate as run
    from swath.inference import load
    from swath.progress import Bars

    if threshold is not None:
        raise SettingError(
            "a threshold is part of the model file and is not set where a model is measured",
            fix="choose it on validation patches: swath model threshold MODEL INDEX --split val --out NEW.onnx",
        )
    classifier = load(model, engine=engine, threads=threads, views=views)
    with Bars() as progress:
        result = run(
            classifier, read_index(index), split=split, out=out, overwrite=overwrite, progress=progress
        )
    for line in result.lines():
        typer.echo(line)
    typer.echo(f"written to {out}")
