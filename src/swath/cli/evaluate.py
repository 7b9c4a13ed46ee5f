"""``swath evaluate``, ``report``, ``compare``, ``errors``, ``label-issues`` and ``robustness``: how good a model is.

All of them read a patch index; all but ``evaluate`` and ``report`` are for the validation split, on which choices
are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swath.cli import options as opt


def evaluate(
    model: opt.Model,
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: metrics.json, predictions.csv, confusion.csv and figures.")],
    split: opt.Split = "val",
    threshold: Annotated[float | None, typer.Option(hidden=True)] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    tta: opt.TestTimeAugmentation = 1,
    overwrite: opt.Overwrite = False,
) -> object:
    """Measure a model on one split, with 95 % intervals and two baselines.

    Each access to the test split is recorded. Thresholds are those of the model file; to choose them again on
    validation patches: swath model threshold

    Example: swath evaluate runs/mine/model.onnx index.parquet --out val/
    """
    from swath.data import read_index
    from swath.errors import SettingError
    from swath.evaluation import evaluate as run
    from swath.inference import load

    if threshold is not None:
        raise SettingError(
            "a threshold is part of the model file and is not set where a model is measured",
            fix="choose it on validation patches: swath model threshold MODEL INDEX --split val --out NEW.onnx",
        )
    classifier = load(model, engine=engine, threads=threads, tta=tta)
    result = opt.with_bars(run, classifier, read_index(index), split=split, out=out, overwrite=overwrite)
    typer.echo("\n".join(result.lines()))
    typer.echo(f"written to {out}")
    opt.next_step("errors", model, index, "--split", split, "--out", out.with_name(f"{out.name}-errors"))
    return result


def compare(
    first: opt.Model,
    second: Annotated[str, typer.Argument(help="The model to compare it with.", autocompletion=opt.complete_model)],
    index: opt.Index,
    split: opt.Split = "val",
    out: Annotated[
        Path | None, opt.output("Folder to write: index.html, comparison.json; required with --split test.")
    ] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Test whether one model is better than another, on the same patches.

    The tests are paired: over all patches and for each class.

    Example: swath compare runs/a/model.onnx runs/b/model.onnx index.parquet
    """
    from swath.data import read_index
    from swath.evaluation.compare import compare as run
    from swath.inference import load

    one, two = (load(model, engine=engine, threads=threads) for model in (first, second))
    result = opt.with_bars(run, one, two, read_index(index), split=split, out=out, overwrite=overwrite)
    typer.echo("\n".join(result.lines()))
    if out is not None:
        typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.next_step("errors", first, index, "--out", f"{Path(first).stem}-errors")
    return result


def errors(
    model: opt.Model,
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html, errors.csv and errors.json.")],
    split: opt.Split = "val",
    maps: Annotated[
        Literal["shown", "all"],
        typer.Option(help="all: also write a heat map of every misclassified patch into DIR/maps."),
    ] = "shown",
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Analyze a model's errors: confused classes, weak classes and slices.

    The page shows the misclassified patches with heat maps of the evidence for the predicted class.

    Example: swath errors runs/mine/model.onnx index.parquet --out errors/
    """
    from swath.data import read_index
    from swath.evaluation.errors import find_errors
    from swath.inference import load

    classifier = load(model, engine=engine, threads=threads)
    found = opt.with_bars(
        find_errors, classifier, read_index(index), out=out, split=split, maps=maps, overwrite=overwrite
    )
    typer.echo("\n".join(found.lines()))
    if maps == "all":
        typer.echo(f"{found.errors:,} heat maps: {out / 'maps'}")
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.next_step("label-issues", index, "--model", model, "--out", out.with_name(f"{out.name}-labels"))
    return found


def label_issues(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: label_issues.csv, label_issues.html and the folds.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe of the networks, one per fold; by default flash, or quickstart for few patches.",
            autocompletion=opt.complete_recipe,
        ),
    ] = None,
    set_: opt.Changes = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Train no networks: use the features of this model, which takes seconds.",
            autocompletion=opt.complete_model,
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds.")] = 4,
    seed: opt.Seed = 0,
    with_test: Annotated[
        bool, typer.Option("--with-test", help="Include the test split, and record the access to it.")
    ] = False,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """List patches whose label is probably wrong, for review.

    Each patch is classified by a network trained on the other folds. An interrupted run resumes when the command is
    repeated. Apply the reviewed list with swath data relabel.

    Example: swath label-issues index.parquet --out label_issues/
    """
    from swath.cli.train import require_training
    from swath.data import read_index
    from swath.errors import SettingError
    from swath.pipelines.label_issues import find_label_issues

    if model is not None and (recipe is not None or set_):
        raise SettingError("--recipe and --set are for training, --model trains no network", fix="pass one of them")
    if model is None:
        require_training()
    with opt.resumable():
        made = opt.with_bars(
            find_label_issues,
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
        )
    if made.seen:
        typer.echo(made.seen)
    typer.echo(
        f"{made.candidates:,} of {made.patches:,} patches are label issues; estimated number of wrong labels: "
        f"{made.estimated:,.0f}"
    )
    table, page = out / "label_issues.csv", out / "label_issues.html"
    typer.echo(f"list: {table}; page: {page.resolve().as_uri()}")
    if made.candidates:
        opt.hint("fill in its column 'verdict' (ok, relabel, drop or a class) before that:")
        opt.next_step("data", "relabel", index, table, "--out", index.with_name(f"{index.stem}-relabeled.parquet"))
    else:
        opt.next_step("data", "report", index, "--out", out.with_name(f"{out.name}-data"))
    return made


def robustness(
    model: opt.Model,
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html, a table and figures.")],
    split: opt.Split = "val",
    patches: Annotated[int, typer.Option(help="Number of patches to draw; 0 for all.")] = 1000,
    seed: opt.Seed = 0,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Measure a model under 16 shifts and corruptions at severity 1 to 5.

    Among them are surface reflectance, haze, clouds, blur, noise and JPEG compression.

    Example: swath robustness runs/mine/model.onnx index.parquet -o robustness/
    """
    from swath.data import read_index
    from swath.evaluation.robustness import robustness as run
    from swath.inference import load

    classifier = load(model, engine=engine, threads=threads)
    result = opt.with_bars(
        run, classifier, read_index(index), out=out, split=split, patches=patches, seed=seed, overwrite=overwrite
    )
    typer.echo("\n".join(result.lines()))
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.next_step("report", model, index, "--out", out.with_name(f"{out.name}-report"))
    return result


def report(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="The folder of a training run, a .onnx file, or the name of a shipped model.",
            autocompletion=opt.complete_model,
        ),
    ],
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html, report.json and a folder per section.")],
    score_split: Annotated[
        opt.SplitName, typer.Option(help="Split to compute the score on; all other sections use val.")
    ] = "test",
    quick: Annotated[
        bool, typer.Option("--quick", help="Use fewer patches for robustness and for checking heat maps.")
    ] = False,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Write a full report: what a model is good for, where it fails, what to try.

    It measures the score, errors, robustness, heat maps and the data, on one page.

    Example: swath report runs/mine index.parquet --out runs/mine/report
    """
    from swath.data import read_index
    from swath.evaluation.run_report import report as run

    made = opt.with_bars(
        run,
        model,
        read_index(index),
        out=out,
        split=score_split,
        quick=quick,
        engine=engine,
        threads=threads,
        overwrite=overwrite,
    )
    for name, sentences in made.verdict.parts.items():
        typer.echo(f"{name}:")
        for sentence in sentences:
            typer.echo(f"  {sentence}")
    typer.echo(f"page: {made.page.resolve().as_uri()}")
    opt.next_step("model", "show", Path(model) / "model.onnx" if Path(model).is_dir() else model)
    return {"verdict": made.verdict, "page": made.page}
