"""``swath train`` and ``swath recipes``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Index, Overwrite, Threads


def train(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    recipe: Annotated[
        str, typer.Option(help="A shipped recipe (see: swath recipes) or a .yaml file.")
    ] = "fast",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe: optimiser.lr=0.1")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Start from: imagenet, a file, hf:REPO/FILE, torchgeo:NAME or none; else the recipe's."
        ),
    ] = None,
    ship: Annotated[
        bool, typer.Option("--ship", help="Refuse weights whose licence forbids passing the model on.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model; the folder's by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="How many processes or GPUs.")] = 1,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a network and write its model file. Never opens the test split.

    Examples:

    swath train index.parquet --recipe fast --out runs/mine --set epochs=20

    swath train index.parquet --recipe mobilenetv2-finetune --weights imagenet --out runs/tuned
    """
    require_training()
    from swath.data import read_index
    from swath.progress import Bars
    from swath.training import load_recipe
    from swath.training import train as run

    chosen = load_recipe(
        recipe, changes=[*(set_ or []), *([f"weights={json.dumps(weights)}"] if weights else [])]
    )
    with Bars() as progress:
        result = run(
            read_index(index),
            chosen,
            out=out,
            name=name,
            resume=resume,
            overwrite=overwrite,
            threads=threads,
            accelerator=accelerator,
            devices=devices,
            ship=ship,
            progress=progress,
        )
    for key, value in result.metrics.items():
        typer.echo(
            f"validation {key.replace('_', ' ')}: {100 * value.value:.2f} % "
            f"(95 %: {100 * value.low:.2f} to {100 * value.high:.2f}, n = {value.n:,})"
        )
    typer.echo(f"model file: {result.model}")


def recipes() -> None:
    """List the recipes in the package."""
    require_training()
    from swath.training import load_recipe, recipe_names

    width = max(map(len, recipe_names()))
    for name in recipe_names():
        typer.echo(f"{name:<{width}}  {load_recipe(name).about}")


def require_training() -> None:
    """Say in one sentence that training needs its extra, before anything is imported."""
    from swath.errors import MissingExtraError

    for module in ("torch", "lightning_fabric", "safetensors", "sklearn", "onnxscript", "timm"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("training", extra="train")
