"""``swath train`` and ``swath recipes``."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from swath.cli.options import Index, Overwrite, Threads
from swath.errors import MissingExtraError, SettingError

N = TypeVar("N", int, float)


def train(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    recipe: Annotated[
        str, typer.Option(help="A shipped recipe (see: swath recipes) or a .yaml file.")
    ] = "fast",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe: optimizer.lr=0.1")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Start from: imagenet, a file, hf:REPO/FILE, torchgeo:NAME or none; else the recipe's."
        ),
    ] = None,
    require_redistributable: Annotated[
        bool,
        typer.Option(
            "--require-redistributable", help="Refuse weights whose license forbids passing the model on."
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model; the folder's by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last finished epoch.")] = False,
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
            require_redistributable=require_redistributable,
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

    for module in ("torch", "lightning_fabric", "safetensors", "onnxscript", "timm"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("training", extra="train")


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="scratch-vs-transfer, learning-curve, input-size, preprocessing, sensor-shift, "
            "high-resolution-first or upsampling."
        ),
    ],
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder; the same command goes on where it was interrupted.")],
    seeds: Annotated[int, typer.Option(help="Repeats of every variant.")] = 1,
    split: Annotated[str, typer.Option(help="Patches that all variants answer for: val or test.")] = "val",
    scratch: Annotated[str, typer.Option(help="Recipe that trains from scratch.")] = "fast",
    transfer: Annotated[
        str, typer.Option(help="Recipe that starts from other weights.")
    ] = "mobilenetv2-finetune",
    weights: Annotated[
        str | None, typer.Option(help="What --transfer starts from, instead of what the recipe says.")
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            help="Shares of the labels. By default 0.01,0.05,0.1,0.25,0.5,1 where they are the question, else all."
        ),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Patch sides, pixels.")] = "32,64,96,128,224",
    first: Annotated[
        Path | None, typer.Option(help="Index of sharper patches, for high-resolution-first.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of every recipe: epochs=5")
    ] = None,
    threads: Threads = None,
) -> None:
    """Compare ways of training, paired on the same patches; finished variants are never rerun.

    Example:

    swath experiment learning-curve eurosat.parquet --scratch flash --fractions 0.01,0.1,1 --out curve
    """
    require_training()
    from swath.data import read_index
    from swath.experiments import ExperimentSettings, run_experiment
    from swath.progress import Bars

    choices = ExperimentSettings(
        scratch=scratch,
        transfer=transfer,
        fractions=None if fractions is None else _numbers(fractions, float, "--fractions"),
        sizes=_numbers(sizes, int, "--sizes"),
        changes=tuple(set_ or ()),
        weights=weights,
    )
    with Bars() as progress:
        result = run_experiment(
            name,
            read_index(index),
            out=out,
            choices=choices,
            first=None if first is None else read_index(first),
            seeds=seeds,
            split=split,
            threads=threads,
            progress=progress,
        )
    typer.echo(result.text)
    typer.echo(f"table, picture and runs: {out}")


def tune(
    index: Index,
    out: Annotated[Path, typer.Option(help="Folder; the same command goes on with the search.")],
    recipe: Annotated[str, typer.Option(help="Recipe to start from.")] = "fast",
    trials: Annotated[int, typer.Option(help="Recipes to try in all.")] = 20,
    pruner: Annotated[
        str, typer.Option(help="How poor trials are cut short: asha, median or none.")
    ] = "asha",
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe: epochs=5")
    ] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Search for a better recipe on the validation split; writes best.yaml, trials.csv and a picture.

    Example:

    swath tune eurosat.parquet --recipe flash --trials 20 --out search
    """
    require_training()
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("the search", extra="train")
    from swath.data import read_index
    from swath.progress import Bars
    from swath.training import load_recipe
    from swath.training.tune import tune as run

    with Bars() as progress:
        result = run(
            read_index(index),
            load_recipe(recipe, changes=set_),
            out=out,
            trials=trials,
            pruner=pruner,
            seed=seed,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(result.text)
    typer.echo(f"best recipe: {result.best}")


def _numbers(text: str, kind: Callable[[str], N], option: str) -> tuple[N, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingError(
            f"{option} {text} is not a list of numbers",
            fix=f"give numbers and commas, as in {option} 0.1,1"
            if kind is float
            else f"give whole numbers and commas, as in {option} 32,64",
        ) from None


def networks(
    names: Annotated[
        list[str] | None, typer.Argument(help="Networks to show; all by default. Also timm:NAME.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of the patches in pixels.")] = 64,
    bands: Annotated[int, typer.Option(min=1, max=64, help="Bands of the patches.")] = 3,
) -> None:
    """List the networks with their parameters, multiplications a patch, maps and needs.

    Any backbone of timm's is a network too: timm:NAME. With _fpn behind it, a name has a feature pyramid.
    Example: swath networks --size 96 resnet50 timm:regnety_004
    """
    require_training()
    from swath.config import validate
    from swath.errors import SettingError
    from swath.networks import Network, describe_network, network_names

    header = ("network", "parameters", f"MACs at {size} px", "features", "class maps", "smallest patch")
    rows: list[tuple[str, ...]] = [header]
    for name in names or network_names():
        try:
            settings = validate(Network, {"name": name}, where="networks")
            facts = describe_network(settings, bands=bands, outputs=10, size=size)
        except SettingError as error:
            if names:
                raise
            rows.append((name, "", "", "", "", error.problem))
            continue
        rows.append(
            (
                name,
                f"{facts.parameters / 1e6:,.2f} M",
                f"{facts.macs / 1e6:,.1f} M",
                f"{facts.features:,}",
                facts.maps,
                facts.needs,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in {1, 2, 3} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
