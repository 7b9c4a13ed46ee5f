"""How a run is planned for the patches at hand: which recipe, if none is named, and how many optimizer steps.

A few hundred patches are a few batches an epoch, and the epochs of a recipe made for thousands are then few steps:
:func:`with_enough_steps` takes smaller batches and more epochs. :func:`choose_recipe` is the one place that decides
which recipe suits how many patches.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import override
from swath.data import PatchIndex, cached_pixels
from swath.evaluation.seen import seen_rows
from swath.imagery import RGB
from swath.model import read_model
from swath.networks.catalog import OWN, smallest_patch
from swath.pages.text import counted
from swath.progress import Progress, silent
from swath.training.recipe import Recipe, load_recipe
from swath.weights import classes_of_weights, network_of_weights

START, PROBE = "eurosat", "eurosat-probe"  # the shipped model to start from, and the recipe that keeps it frozen
FEW = 2_000  # training patches below which a network from scratch loses to one that starts from a shipped model
MANY = 6_000  # patches from which three epochs teach enough
STEPS = 600  # optimizer steps below which a run is cut short: docs/training.md
BATCH = 32  # the least to which batches are reduced
LONGEST = 10_000  # epochs
SIDE = 64  # pixels of the patches that the recipes of the project's own networks were timed with
COSTLY = 4  # times their cost, from which a line says so
SEEN = 0.01  # share of val patches that the start may have learned from
_log = logging.getLogger("swath")


@dataclass(frozen=True)
class RecipeChoice:
    """A recipe for the patches at hand.

    Attributes
    ----------
    name : str
        Of a shipped recipe.
    reason : str
        Why, in a few words.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"recipe {self.name}: {self.reason}"


def choose_recipe(patches: int, *, start: bool = True, known: bool = False, short: bool = False) -> RecipeChoice:
    """The recipe that suits a number of training patches.

    Parameters
    ----------
    patches : int
        Training patches.
    start : bool
        Whether the network may start from a shipped model: of patches it can read, and which it has not learned.
    known : bool
        Whether that model knows all the classes: then it is changed little.
    short : bool
        As short a training as makes sense, for one of several networks: cross-validation, say.

    Examples
    --------
    >>> choose_recipe(200).name, choose_recipe(16_000).name
    ('few', 'fast')
    """
    if short and patches >= MANY:
        return RecipeChoice("flash", f"{patches:,} patches, of which three epochs teach enough")
    if start and patches < FEW:
        few = f"{patches:,} training patches are few, so it starts from a trained model"
        return RecipeChoice("refine", f"{few}, which knows all the classes") if known else RecipeChoice("few", few)
    if short or patches < FEW:
        return RecipeChoice("quickstart", f"{patches:,} training patches are few, so the network is small")
    return RecipeChoice("fast", f"{patches:,} training patches are enough to learn from scratch")


def recipe_for(
    index: PatchIndex, *, changes: Sequence[str] = (), cache: Path | None = None, progress: Progress = silent
) -> RecipeChoice:
    """The recipe for an index, where none is named.

    Parameters
    ----------
    index : PatchIndex
        With a ``train`` split.
    changes : sequence of str
        What is changed of it, as ``--set`` takes it; weights, network, bands and size among them decide.
    cache : pathlib.Path, optional
        Folder for decoded patches.
    progress : Progress
        Called with stage ``"decode"``.
    """
    given, named = load_recipe("fast", changes=changes), override({}, changes)
    train = index.where("train")
    if named.get("weights") == "none" or len(train) >= FEW:
        return choose_recipe(len(train), start=False)
    weights = str(named.get("weights") or START)
    known = set(index.classes) <= set(classes_of_weights(weights))
    if "network" in named:
        return choose_recipe(len(train), start=False)
    if "weights" in named:
        return choose_recipe(len(train), start=network_of_weights(weights) is not None, known=known)
    problem = _cannot_start(index, bands=given.bands, size=given.size, cache=cache, progress=progress)
    choice = choose_recipe(len(train), start=problem is None, known=known)
    return choice if problem is None else replace(choice, reason=f"{choice.reason}; {problem}")


def with_network_of_start(recipe: Recipe) -> Recipe:
    """The recipe with the network of the weights it starts from, where both are the project's own networks."""
    if recipe.weights == "none" or recipe.network.name not in OWN:
        return recipe
    held = network_of_weights(recipe.weights)
    if held is None or held.name not in OWN:
        return recipe
    network = held.model_copy(update={"dropout": recipe.network.dropout})
    if network != recipe.network:
        _log.warning(
            "the network is that of the weights %s: %s, stem %d, widths %s",
            Path(recipe.weights).name,
            network.name,
            network.stem,
            ", ".join(map(str, network.widths)),
        )
    return recipe.model_copy(update={"network": network})


def with_enough_steps(recipe: Recipe, patches: int) -> Recipe:
    """The recipe with as many epochs as its least number of optimizer steps takes; what is changed is logged.

    Batches get smaller first, down to :data:`BATCH` patches, for a step on fewer patches costs less.

    Parameters
    ----------
    recipe : Recipe
        With its ``min_steps``; where that is 0 nothing is changed, and few steps are warned of.
    patches : int
        Training patches.
    """
    steps = recipe.epochs * steps_per_epoch(patches, recipe.batch_size)
    if not recipe.min_steps and steps < STEPS and recipe.freeze.epochs != "all":
        _log.warning(
            "%d optimizer steps (%s) are few: give more epochs, smaller batches, or --set min_steps=%d",
            steps,
            counted(recipe.epochs, "epoch", "epochs"),
            STEPS,
        )
    if steps >= recipe.min_steps:
        return recipe
    batch_size = recipe.batch_size
    while batch_size > BATCH and recipe.epochs * steps_per_epoch(patches, batch_size) < recipe.min_steps:
        batch_size = max(BATCH, batch_size // 2)
    per_epoch = steps_per_epoch(patches, batch_size)
    epochs = min(LONGEST, max(recipe.epochs, math.ceil(recipe.min_steps / per_epoch)))
    _log.warning(
        "%s patches would be %d optimizer steps: %d epochs in batches of %d instead of %d in batches of %d make %d",
        f"{patches:,}",
        steps,
        epochs,
        batch_size,
        recipe.epochs,
        recipe.batch_size,
        epochs * per_epoch,
    )
    return recipe.model_copy(update={"epochs": epochs, "batch_size": batch_size})


def steps_per_epoch(patches: int, batch_size: int) -> int:
    """Whole batches of an epoch, at least one."""
    return max(1, patches // min(batch_size, patches))


def note_cost(recipe: Recipe, side: int) -> None:
    """Log how much longer a run takes than the recipe's patches of 64 pixels would, where nobody chose the size.

    What a network multiplies grows with the pixels it is shown, which are fewer while it learns from crops.

    Parameters
    ----------
    recipe : Recipe
        Of the run.
    side : int
        Of the patches, in pixels.
    """
    augmentation = recipe.augmentation

    def pixels(side: int) -> float:
        share = augmentation.crop_until if augmentation.crop else 0.0
        return share * min(augmentation.crop or side, side) ** 2 + (1 - share) * side**2

    times = pixels(side) / pixels(SIDE)
    if recipe.size is None and recipe.network.name in OWN and times >= COSTLY:
        _log.warning(
            "patches of %d px take about %.0f times as long as the %d px that recipe %s was timed with: "
            "--set size=%d is that much cheaper, and sees less detail",
            side,
            times,
            SIDE,
            recipe.name,
            SIDE,
        )


def fits_start(pixels: npt.NDArray[Any]) -> bool:
    """Whether the shipped model's network takes such patches ``[N, bands, P, P]``."""
    return pixels.dtype == np.uint8 and pixels.shape[-1] >= _smallest()


def _smallest() -> int:
    return smallest_patch(load_recipe(PROBE).network)


def _cannot_start(
    index: PatchIndex, *, bands: tuple[str, ...], size: int | None, cache: Path | None, progress: Progress
) -> str | None:
    """Why a network for these patches cannot start from the shipped model; None if it can."""
    if bands != RGB:
        return f"the shipped model has other bands than {', '.join(bands)}"
    for split in ("train", "val"):
        pixels = cached_pixels(index.where(split), bands=bands, size=size, cache=cache, progress=progress)
        if not fits_start(pixels):
            return f"the shipped model takes 8-bit patches of {_smallest()} pixels or more"
        if split == "val":  # those of train may have been seen: the scores are of val
            count = seen_rows(read_model(START).record, np.asarray(pixels)).count
            if count.seen > SEEN * count.patches:
                return (
                    f"the shipped model has seen {count.seen:,} of the {count.patches:,} val patches, whose scores "
                    "would flatter"
                )
    return None
