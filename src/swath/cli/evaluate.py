"""``swath predict`` and ``evaluate``: use a model on images and indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, TestTimeAugmentation, Threads


def evaluate(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: metrics.json, confusion.csv and .png...")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    threshold: Annotated[float | None, typer.Option(hidden=True)] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    tta: TestTimeAugmentation = 1,
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
    classifier = load(model, engine=engine, threads=threads, tta=tta)
    with Bars() as progress:
        result = run(
            classifier, read_index(index), split=split, out=out, overwrite=overwrite, progress=progress
        )
    for line in result.lines():
        typer.echo(line)
    typer.echo(f"written to {out}")


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


def label_issues(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder to write: label_issues.csv, label_issues.html, folds.")],
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

    A stopped run goes on when the command is given again. Example: swath label-issues index.parquet --out look/
    """
    from swath.cli.train import require_training
    from swath.data import read_index
    from swath.errors import SettingError
    from swath.pipelines.label_issues import find_label_issues
    from swath.progress import Bars

    if model is not None and (recipe is not None or set_):
        raise SettingError("--model trains nothing, --recipe and --set do", fix="pass one of them")
    if model is None:
        require_training()
    with Bars() as progress:
        made = find_label_issues(
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
        f"{made.candidates:,} of {made.patches:,} patches are label issues; about {made.estimated:,.0f} labels are "
        "wrong, as estimated"
    )
    table, page = out / "label_issues.csv", out / "label_issues.html"
    typer.echo(f"list: {table}; page: {page.resolve().as_uri()}")
    typer.echo(
        "next: fill in its column 'verdict' (ok, relabel, drop or a class), then: "
        f"swath data relabel {index} {table} --out INDEX2",
        err=True,
    )


def robustness(
    model: Model,
    index: Index,
    out: Annotated[
        Path, typer.Option(help="Folder to write: index.html, robustness.json, robustness.csv...")
    ],
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

    Example: swath robustness runs/mine/model.onnx index.parquet --out runs/mine/stress
    """
    from swath.data import read_index
    from swath.evaluation.robustness import robustness as run
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
