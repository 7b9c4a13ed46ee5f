"""``swath model``: show a model's card, export it, check a model file, choose its thresholds anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, Index, Model, Overwrite, Threads

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="A model file: show, check, card, thresholds, trust."
)


@app.command()
def show(
    model: Model,
    json: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")] = False,
) -> None:
    """Print a model's card.

    Example: swath model show eurosat
    """
    from swath.model import card, read_model

    file = read_model(model)
    if json:
        typer.echo(file.record.model_dump_json(indent=2))
        return
    rows = card(file)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


@app.command()
def check(
    model: Model,
    engine: Engine = "auto",
) -> None:
    """Validate a model file and run the reference patches it carries.

    Example: swath model check runs/mine/model.onnx
    """
    from swath.inference import check_model

    result = check_model(model, engine=engine)
    typer.echo(
        f"sound: {result.patches} reference patches on {result.engine}, largest difference "
        f"{result.max_difference:.1e} (allowed {result.tolerance:.0e})"
    )


@app.command()
def threshold(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Model file to write, ending in .onnx.")],
    split: Annotated[str, typer.Option(help="val, or train; never test.")] = "val",
    engine: Engine = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Choose the thresholds of a binary or multi-label model anew, for the largest F1 on validation patches.

    The model itself stays as it is. Example: swath model threshold dumps.onnx new.parquet --out dumps2.onnx
    """
    from swath.data import read_index
    from swath.evaluation import rethreshold
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        made = rethreshold(
            classifier, read_index(index), out, split=split, overwrite=overwrite, progress=progress
        )
    for name, value in made.after.items():
        typer.echo(f"{name}: {made.before[name]:.4f} -> {value:.4f}")
    if made.kept:
        typer.echo(
            f"no patch in the split '{split}', so the old threshold stays: {', '.join(made.kept)}", err=True
        )
    typer.echo(f"written to {out}; metrics at thresholds are left out of its record: measure it anew")


@app.command()
def calibrate(
    model: Model,
    index: Index,
    out: Annotated[Path, typer.Option(help="Model file to write, ending in .onnx.")],
    false_alarms: Annotated[
        float, typer.Option(help="Share of patches like the training data that may be called unlike it.")
    ] = 0.02,
    engine: Engine = "onnxruntime",
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit again what a model doubts answers by: conformal quantiles, and what is not like its training data.

    Training does it too; this is for models that were trained without, or for patches of another place.

    Example: swath model calibrate old.onnx index.parquet --out new.onnx
    """
    from swath.data import read_index
    from swath.evaluation.thresholds import write_calibration
    from swath.inference import load
    from swath.progress import Bars

    classifier = load(model, engine=engine, threads=threads)
    with Bars() as progress:
        record = write_calibration(
            classifier,
            read_index(index),
            out,
            false_alarms=false_alarms,
            overwrite=overwrite,
            progress=progress,
        )
    for level, quantile in record.conformal.items():
        typer.echo(f"{100 * float(level):g} % sets: classes with a probability of {1 - quantile:.4f} or more")
    kept = record.out_of_distribution
    if kept is not None:
        typer.echo(
            f"unlike the training data from {kept.threshold:.3f} on ({kept.patches:,} validation patches)"
        )
    typer.echo(f"written to {out}")


@app.command("card")
def model_card(
    model: Model,
    out: Annotated[Path, typer.Option(help="Markdown file to write, such as README.md.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a model's card for a model hub: YAML in front, then intended use, limits, data and metrics.

    Example: swath model card runs/mine/model.onnx --out README.md
    """
    from swath.files import atomic_file
    from swath.model import check_not_model, model_card, read_model

    check_not_model(out, model)
    text = model_card(read_model(model))
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"written to {out}")


@app.command()
def stac(
    model: Model,
    out: Annotated[Path, typer.Option(help="JSON file to write; the model is linked relative to it.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a model as an item of a STAC catalog, with the Machine Learning Model extension.

    Example: swath model stac runs/mine/model.onnx --out runs/mine/item.json
    """
    import json as json_module

    from swath.files import atomic_file
    from swath.model import check_not_model, read_model, stac_item

    check_not_model(out, model)
    item = stac_item(read_model(model), beside=out)
    with atomic_file(out, overwrite=overwrite) as temporary:
        text = json_module.dumps(item, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    typer.echo(f"written to {out}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the record that model files carry."""
    import json as json_module

    from swath.model import record_schema

    typer.echo(json_module.dumps(record_schema(), indent=2))
