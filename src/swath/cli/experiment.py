"""``swath experiment`` and ``swath tune``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from swath.cli.options import Index, Overwrite, Threads
from swath.cli.train import require_training
from swath.errors import MissingExtraError, SettingError

N = TypeVar("N", int, float)


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
    seeds: Annotated[int, typer.Option(help="Repeats of every arm.")] = 1,
    split: Annotated[str, typer.Option(help="Patches that all arms answer for: val or test.")] = "val",
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
    """Compare ways of training, paired on the same patches; finished arms are never rerun.

    Example:

    swath experiment learning-curve eurosat.parquet --scratch flash --fractions 0.01,0.1,1 --out curve
    """
    require_training()
    from swath.data import read_index
    from swath.experiments import Choices, run_experiment
    from swath.progress import Bars

    choices = Choices(
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
