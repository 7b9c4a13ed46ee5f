"""``swath model``: describe, check, calibrate and publish model files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli import options as opt

app = opt.Commands("Show, check, calibrate and publish model files.")


@app.command()
def show(model: opt.Model) -> object:
    """Print what a model is, what it was trained on and how good it is.

    With --json, print the whole record.

    Example: swath model show eurosat
    """
    from swath.model import card, read_model

    file = read_model(model)
    rows = card(file)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")
    opt.next_step("model", "check", model)
    return file.record


@app.command()
def check(model: opt.Model, engine: opt.Engine = "auto") -> object:
    """Validate a model file and run its reference patches.

    Example: swath model check runs/mine/model.onnx
    """
    from swath.inference import check_model

    result = check_model(model, engine=engine)
    typer.echo(
        f"sound: {result.patches} reference patches on {result.engine}, largest difference "
        f"{result.max_difference:.1e} (allowed {result.tolerance:.0e})"
    )
    if not result.sealed:
        typer.echo("note: the file was written without a digest of its record, so changes of it do not show", err=True)
    opt.next_step("predict", "--help")
    return result


@app.command()
def threshold(
    model: opt.Model,
    index: opt.Index,
    out: opt.ModelOut,
    split: opt.Split = "val",
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Choose the thresholds of a binary or multi-label model again.

    Each threshold maximizes F1 on the validation split; test is refused. MODEL is not changed.

    Example: swath model threshold dumps.onnx new.parquet --out dumps2.onnx
    """
    from swath.data import read_index
    from swath.evaluation import rethreshold
    from swath.inference import load

    classifier = load(model, engine=engine, threads=threads)
    made = opt.with_bars(rethreshold, classifier, read_index(index), out, split=split, overwrite=overwrite)
    for name, value in made.after.items():
        typer.echo(f"{name}: {made.before[name]:.4f} -> {value:.4f}")
    if made.kept:
        typer.echo(f"no patch in the split '{split}', so the threshold is kept: {', '.join(made.kept)}", err=True)
    typer.echo(f"written to {out}; metrics at thresholds are not in its record: measure it again")
    opt.next_step("evaluate", out, index, "--out", out.with_name(f"{out.stem}-val"))
    return made


@app.command()
def calibrate(
    model: opt.Model,
    index: opt.Index,
    out: opt.ModelOut,
    false_alarms: Annotated[
        float, typer.Option(help="Fraction of in-distribution patches that may be flagged as out of it.")
    ] = 0.02,
    rendering: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of EuroSAT patches to draw as other Sentinel-2 products show them."),
    ] = 0.0,
    engine: Annotated[
        opt.EngineName | None,
        typer.Option(metavar="ENGINE", help="As in other commands, but by default onnxruntime, in fp32."),
    ] = None,
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Fit conformal quantiles and out-of-distribution detection again.

    Training does it too. Use this for a model trained without it, or for patches of another place.

    Example: swath model calibrate old.onnx index.parquet --out new.onnx
    """
    from swath.data import read_index
    from swath.evaluation.thresholds import write_calibration
    from swath.inference import load

    classifier = load(model, engine=engine or "onnxruntime", threads=threads)
    record = opt.with_bars(
        write_calibration,
        classifier,
        read_index(index),
        out,
        false_alarms=false_alarms,
        rendering=rendering,
        overwrite=overwrite,
    )
    for level, quantile in record.conformal.items():
        typer.echo(f"{100 * float(level):g} % sets: classes with a probability of {1 - quantile:.4f} or more")
    kept = record.out_of_distribution
    if kept is not None:
        typer.echo(f"unlike the training data from {kept.threshold:.3f} on ({kept.patches:,} validation patches)")
        for name, share in kept.renderings.items():
            typer.echo(f"flagged of these, {name}: {100 * share:.1f} %")
    typer.echo(f"written to {out}")
    opt.next_step("evaluate", out, index, "--out", out.with_name(f"{out.stem}-val"))
    return {"model": out, "conformal": record.conformal, "ood_threshold": kept and kept.threshold}


@app.command("card")
def model_card(
    model: opt.Model,
    out: Annotated[Path, opt.output("Markdown file to write, such as README.md.")],
    overwrite: opt.Overwrite = False,
) -> object:
    """Write a model card for a model hub.

    It has YAML front matter, intended use, limits, data and metrics.

    Example: swath model card runs/mine/model.onnx --out README.md
    """
    from swath.files import atomic_file
    from swath.model import check_not_model, model_card, read_model

    check_not_model(out, model)
    text = model_card(read_model(model))
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"written to {out}")
    opt.next_step("model", "stac", model, "--out", out.with_name("item.json"))
    return {"card": out}


@app.command()
def stac(
    model: opt.Model,
    out: Annotated[Path, opt.output("JSON file to write; the model is linked relative to it.")],
    overwrite: opt.Overwrite = False,
) -> object:
    """Write a STAC item with the Machine Learning Model extension.

    Example: swath model stac runs/mine/model.onnx --out runs/mine/item.json
    """
    import json

    from swath.files import atomic_file
    from swath.model import check_not_model, read_model, stac_item

    check_not_model(out, model)
    item = stac_item(read_model(model), relative_to=out)
    with atomic_file(out, overwrite=overwrite) as temporary:
        text = json.dumps(item, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    typer.echo(f"written to {out}")
    opt.next_step("model", "card", model, "--out", out.with_name("README.md"))
    return item


@app.command()
def schema() -> object:
    """Print the JSON Schema of the record in model files.

    Example: swath model schema > record.schema.json
    """
    import json

    from swath.model import record_schema

    typer.echo(json.dumps(record_schema(), indent=2))
    opt.next_step("model", "show", "eurosat", "--json")
    return record_schema()
