"""A picture of what the network is shown: augmented training patches, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from swath.files import atomic_file
from swath.pages.figures import draw_sheet, tile, to_png
from swath.pages.text import written
from swath.training.batches import Normalization, epoch_order, prepare, whitening_of
from swath.training.run import TrainingRun

EACH = 4  # patches of a class from the start of the run, and as many from its end
CLASSES = 40  # rows at most
_SEARCHED = 2_048  # patches in which they are looked for
_TILE, _GAP = 72, 4  # pixels

Shown = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def draw_batches(path: Path, run: TrainingRun, normalization: Normalization) -> None:
    """Draw augmented patches as the network sees them, a class per row, its name in front.

    The left half shows patches of the first epoch as they are learned from, the right half such as the last epochs
    have: crops belong to the start of a run. A mixed patch stands with the class it holds most of, one of several
    labels with its first.

    Parameters
    ----------
    path : pathlib.Path
        PNG, written over.
    run : TrainingRun
        Its recipe says how patches are augmented.
    normalization : Normalization
        Of the network's input; undone for the picture.
    """
    names = [*run.targets.classes, "no label"] if run.targets.task == "multi-label" else list(run.targets.classes)
    halves = [_some_of_each(run, normalization, done=done, classes=len(names)) for done in (0.0, 1.0)]
    rows = [k for k in range(len(names)) if any(k in half for half in halves)][:CLASSES]
    tiles = {(0, 2 * EACH - 1): np.full((_TILE, _TILE, 3), 255, np.uint8)}  # the sheet has all columns
    for row, label in enumerate(rows):
        for first, half in zip((0, EACH), halves, strict=True):
            for place, pixels in enumerate(half.get(label, ())):
                tiles[row, first + place] = tile(pixels, run.recipe.bands, side=_TILE)
    figure = Figure(figsize=(0.8 * 2 * EACH + 2.6, 0.8 * len(rows) + 0.5), layout="constrained")
    heads = ["first", "epoch", "", "", "last", "epochs", "", ""]
    draw_sheet(figure, tiles, gap=_GAP, rows=[written(names[k], limit=24) for k in rows], columns=heads)
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_bytes(to_png(figure))


def _some_of_each(
    run: TrainingRun, normalization: Normalization, *, done: float, classes: int
) -> dict[int, list[npt.NDArray[Any]]]:
    """Up to :data:`EACH` augmented patches of each class, by its number."""
    found: dict[int, list[npt.NDArray[Any]]] = {}
    for pixels, labels in _batches(run, normalization, done=done):
        for patch, label in zip(pixels, labels.tolist(), strict=True):
            held = found.setdefault(label, [])
            if len(held) < EACH:
                held.append(patch)
        if len(found) == classes and all(len(held) == EACH for held in found.values()):
            break
    return found


def _batches(run: TrainingRun, normalization: Normalization, *, done: float) -> Iterator[Shown]:
    """Batches of the first epoch, augmented as at `done` of the run, as stored pixels with one class per patch."""
    recipe, train = run.recipe, run.train
    shares = run.targets.shares(train.labels)
    generator = torch.Generator().manual_seed(recipe.seed * 100_003)
    order = epoch_order(shares, recipe, generator=generator)[:_SEARCHED]
    size = min(recipe.batch_size, len(train))
    mean, sd = (torch.from_numpy(v).view(1, -1, 1, 1) for v in (normalization.mean, normalization.sd))
    limits = np.iinfo(train.pixels.dtype)
    white = whitening_of(train.pixels)
    for start in range(0, max(1, len(order) // size) * size, size):
        rows = np.sort(order[start : start + size])
        values, wanted = prepare(
            torch.from_numpy(train.pixels[rows]),
            torch.from_numpy(shares[rows]),
            recipe,
            normalization,
            done=done,
            top=white,
            generator=generator,
        )
        pixels = (values * sd + mean).round().clamp(float(limits.min), float(limits.max)).numpy()
        if run.targets.task == "binary":
            labels = (wanted[:, 0] > 0.5).long()
        else:
            labels = torch.where(wanted.sum(1) > 0, wanted.argmax(1), wanted.shape[1])
        yield pixels.astype(train.pixels.dtype), labels.numpy()
