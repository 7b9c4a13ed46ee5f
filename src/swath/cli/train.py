"""``swath train``, ``tune``, ``experiment``, ``recipes`` and ``networks``: what needs the train extra."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swath.cli import options as opt
from swath.errors import MissingExtraError

if TYPE_CHECKING:
    from swath.data import PatchIndex


def train(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder of the run: model.onnx, weights, metrics and checkpoints.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A shipped recipe (see: swath recipes) or a .yaml file; by default, chosen by the number of training "
            "patches.",
            autocompletion=opt.complete_recipe,
        ),
    ] = None,
    set_: opt.Changes = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: a shipped model such as eurosat, a file, imagenet, hf:REPO/FILE, torchgeo:NAME or "
            "none, instead of the recipe's."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time the run may take, such as 90s, 20min or 1h: fewer epochs where it is short, by the pace of the "
            "first steps.",
        ),
    ] = None,
    require_redistributable: Annotated[
        bool,
        typer.Option(
            "--require-redistributable", help="Refuse weights whose license forbids redistributing the model."
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model; by default, that of the folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last completed epoch.")] = False,
    accelerator: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Hardware to train on.")] = "auto",
    devices: Annotated[int, typer.Option(help="Number of processes or GPUs.")] = 1,
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Train a network and write its model file.

    The val split is used for early stopping and calibration, the test split not at all. Below 2,000 training patches
    the default recipe starts from the shipped eurosat model.

    Example: swath train index.parquet --out runs/mine --set epochs=20

    From ImageNet weights:

    swath train index.parquet --recipe mobilenetv2-finetune --out runs/tuned
    """
    import json

    from swath.data import read_index

    changes = [*(set_ or []), *([f"weights={json.dumps(weights)}"] if weights else [])]
    patches = read_index(index)
    _check_sizes(patches, recipe, changes)
    require_training()
    from swath.data.spatial import noted_protocol, split_warning
    from swath.training import load_recipe, parse_duration, recipe_for
    from swath.training import train as run

    seconds = None if budget is None else parse_duration(budget)
    if recipe is None:
        choice = opt.with_bars(recipe_for, patches, changes=changes)
        opt.hint(str(choice))
        recipe = choice.name
    with opt.resumable("the same command with --resume"):
        result = opt.with_bars(
            run,
            patches,
            load_recipe(recipe, changes=changes),
            out=out,
            name=name,
            resume=resume,
            overwrite=overwrite,
            threads=threads,
            accelerator=accelerator,
            devices=devices,
            require_redistributable=require_redistributable,
            budget=seconds,
        )
    for key, value in result.metrics.items():
        typer.echo(
            f"validation {key.replace('_', ' ')}: {100 * value.value:.2f} % "
            f"(95 %: {100 * value.low:.2f} to {100 * value.high:.2f}, n = {value.n:,})"
        )
    warning = split_warning(noted_protocol(patches))
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"model file: {result.model}")
    opt.next_step("report", out, index, "--out", out / "report")
    return {"model": result.model, "metrics": result.metrics}


def _check_sizes(index: PatchIndex, recipe: str | None, changes: Sequence[str]) -> None:
    """Refuse patches of several sizes before seconds are spent on importing torch."""
    from swath.config import override, read_yaml
    from swath.data.cache import patch_side

    path = Path(recipe or "")
    if path.suffix not in {".yaml", ".yml"}:
        path = Path(__file__).parents[1] / "training" / "recipes" / f"{recipe}.yaml"
    values = read_yaml(path) if path.is_file() else {}  # what there is not is said with the recipe
    size = override(values, changes).get("size")
    if size is None:  # any that is given is checked with the recipe
        patch_side(index, None)


def recipes() -> object:
    """List the shipped recipes.

    Example: swath recipes
    """
    require_training()
    from swath.training import load_recipe, recipe_names

    about = {name: load_recipe(name).about for name in recipe_names()}
    for name, text in about.items():
        typer.echo(f"{name:<{max(map(len, about))}}  {text}")
    opt.next_step("train", "--help")
    return about


def require_training() -> None:
    """Say in one sentence that training needs its extra, before anything is imported."""
    for module in ("torch", "lightning_fabric", "safetensors", "onnxscript", "timm"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("training", extra="train")
    if "torch" not in sys.modules:
        opt.hint("loading PyTorch")


def experiment(
    name: Annotated[
        Literal[
            "scratch-vs-transfer",
            "learning-curve",
            "input-size",
            "preprocessing",
            "sensor-shift",
            "high-resolution-first",
            "upsampling",
        ],
        typer.Argument(
            show_choices=False,
            help="scratch-vs-transfer, learning-curve, input-size, preprocessing, sensor-shift, "
            "high-resolution-first or upsampling.",
        ),
    ],
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html, table.csv, a figure and the runs.")],
    seeds: Annotated[int, typer.Option(help="Number of repeats of each variant.")] = 1,
    split: Annotated[Literal["val", "test"], typer.Option(help="Split to evaluate on. Do not tune on test.")] = "val",
    scratch: Annotated[
        str, typer.Option(help="Recipe that trains from scratch.", autocompletion=opt.complete_recipe)
    ] = "fast",
    transfer: Annotated[
        str, typer.Option(help="Recipe that starts from other weights.", autocompletion=opt.complete_recipe)
    ] = "mobilenetv2-finetune",
    weights: Annotated[str | None, typer.Option(help="Initial weights of --transfer, instead of the recipe's.")] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            metavar="F,F,...",
            help="Fractions of the labels; by default 0.01,0.05,0.1,0.25,0.5,1 for learning-curve, else all labels.",
        ),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Sides of the patches in pixels, for input-size.")
    ] = "32,64,96,128,224",
    first: Annotated[Path | None, typer.Option(help="Index of sharper patches, for high-resolution-first.")] = None,
    set_: opt.Changes = None,
    threads: opt.Threads = None,
) -> object:
    """Compare ways of training on the same patches.

    Variants are compared in pairs. Repeat the command to resume: completed variants are not run again.

    Example: swath experiment learning-curve index.parquet --out curve
    """
    require_training()
    from swath.data import read_index
    from swath.experiments import ExperimentSettings, run_experiment

    choices = ExperimentSettings(
        scratch=scratch,
        transfer=transfer,
        fractions=None if fractions is None else opt.numbers(fractions, float, option="--fractions", example="0.1,1"),
        sizes=opt.numbers(sizes, int, option="--sizes", example="32,64"),
        changes=tuple(set_ or ()),
        weights=weights,
    )
    with opt.resumable():
        result = opt.with_bars(
            run_experiment,
            name,
            read_index(index),
            out=out,
            choices=choices,
            first=None if first is None else read_index(first),
            seeds=seeds,
            split=split,
            threads=threads,
        )
    typer.echo(result.text)
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.hint(f"next: look at {out / 'index.html'}; the same command goes on where it was stopped")
    return result


def tune(
    index: opt.Index,
    out: Annotated[Path, opt.output("Folder to write: index.html, best.yaml, trials.csv and a figure.")],
    recipe: Annotated[str, opt.RECIPE] = "fast",
    trials: Annotated[int, typer.Option(help="Total number of recipes to try.")] = 20,
    pruner: Annotated[Literal["asha", "median", "none"], typer.Option(help="How to stop poor trials early.")] = "asha",
    seed: opt.Seed = 0,
    set_: opt.Changes = None,
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Search for a better recipe on the validation split.

    The search starts from --recipe. Repeat the command to resume it.

    Example: swath tune index.parquet --recipe flash --out search
    """
    require_training()
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("the search", extra="train")
    from swath.data import read_index
    from swath.training import load_recipe
    from swath.training.tune import tune as run

    with opt.resumable():
        result = opt.with_bars(
            run,
            read_index(index),
            load_recipe(recipe, changes=set_),
            out=out,
            trials=trials,
            pruner=pruner,
            seed=seed,
            threads=threads,
            overwrite=overwrite,
        )
    typer.echo(result.text)
    typer.echo(f"best recipe: {result.best}")
    typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
    opt.next_step("train", index, "--recipe", result.best, "--out", out / "best")
    return result


def networks(
    names: Annotated[
        list[str] | None, typer.Argument(help="Networks to show, also timm:NAME; by default, all.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of the patches in pixels.")] = 64,
    bands: Annotated[int, typer.Option(min=1, max=64, help="Number of bands.")] = 3,
) -> object:
    """List the networks with their size, cost and requirements.

    Any backbone of timm is a network too: timm:NAME. A name that ends in _fpn has a feature pyramid.

    Example: swath networks --size 96 resnet50 timm:regnety_004
    """
    require_training()
    from swath.config import validate
    from swath.errors import SettingError
    from swath.networks import Network, describe_network, network_names

    header = ("network", "parameters", f"MACs at {size} px", "features", "class maps", "minimum")
    rows: list[tuple[str, ...]] = [header]
    found: dict[str, object] = {}
    for name in names or network_names():
        try:
            settings = validate(Network, {"name": name}, where="networks")
            facts = describe_network(settings, bands=bands, outputs=10, size=size)
        except SettingError as error:
            if names:
                raise
            rows.append((name, "", "", "", "", error.problem))
            continue
        found[name] = facts
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
    opt.next_step("recipes")
    return found
