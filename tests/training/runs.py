"""A network small enough to train in a second, and patches to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from swath.data import PatchIndex
from swath.training import Recipe, TrainResult, load_recipe, train
from swath.training.batches import Patches
from swath.training.loop import TrainedNetwork, TrainingLoop
from swath.training.run import TrainingRun, initialize_network, make_fabric
from swath.training.targets import Targets
from tests.tiny import CLASSES, patches

SMALL = ("network.stem=8", "network.widths=[16,16]", "epochs=3", "batch_size=16", "precision=fp32")

SINGLE = Targets("single-label", CLASSES)


def small_recipe(*changes: str) -> Recipe:
    return load_recipe("fast", changes=[*SMALL, *changes])


def some(n: int = 12, *, seed: int = 0, size: int = 32, classes: tuple[str, ...] = CLASSES) -> Patches:
    """`n` patches of each class."""
    pixels = np.concatenate([patches(c, n, seed=seed, size=size) for c in classes])
    return Patches(pixels, np.repeat(np.arange(len(classes)), n))


def small_run(folder: Path, recipe: Recipe | None = None, **options: Any) -> TrainingRun:
    """A run of the small network, about to begin."""
    folder.mkdir(exist_ok=True)
    recipe = recipe or small_recipe()
    fabric = make_fabric(recipe, accelerator="cpu")
    fabric.launch()
    given = {"targets": SINGLE, "train": some(), "val": some(4, seed=1), "identity": "a"} | options
    return TrainingRun(recipe, folder=folder, fabric=fabric, **given)


def small_fit(folder: Path, recipe: Recipe | None = None, *, on_epoch: Any = None, **options: Any) -> TrainedNetwork:
    """Fit the small network, without anything after it."""
    run = small_run(folder, recipe, **options)
    return TrainingLoop(run, initialize_network(run)).fit(on_epoch=on_epoch)


def small_train(index: PatchIndex, out: Path, recipe: Recipe | None = None, **options: Any) -> TrainResult:
    """A whole run on one thread."""
    return train(index, recipe or small_recipe(), out=out, threads=1, accelerator="cpu", **{"name": "small"} | options)
