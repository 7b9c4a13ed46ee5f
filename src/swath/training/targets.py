"""What a network is to say of each patch: the task, its classes in order, and the targets as numbers."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.model.record import Task
from swath.networks import build_network, smallest_patch, takes_one_size
from swath.progress import Progress, silent
from swath.training.batches import Normalization, Patches
from swath.training.recipe import Freezing, Recipe
from swath.weights import WeightFacts, check_expectation, load_weights

_log = logging.getLogger("swath")


@dataclass(frozen=True)
class Targets:
    """The task of a run.

    Attributes
    ----------
    task : str
        ``single-label``, ``binary`` or ``multi-label``.
    classes : tuple of str
        In the order of the model file's outputs; for the binary task the other class, then the one looked for.
    """

    task: Task
    classes: tuple[str, ...]

    @property
    def logits(self) -> int:
        """Outputs of the network: one for the binary task, else one a class."""
        return 1 if self.task == "binary" else len(self.classes)

    def of(self, index: PatchIndex) -> npt.NDArray[Any]:
        """Targets of all patches; see :meth:`swath.data.PatchIndex.targets`."""
        return index.targets(self.classes, multi_label=self.task == "multi-label")


def choose_targets(index: PatchIndex, recipe: Recipe) -> Targets:
    """The task of an index, as the recipe has it or as the labels say.

    Patches with several labels are multi-label; two classes are binary, and the one looked for is the recipe's
    ``positive`` or else the rarer one in train (of equals, the last by name); everything else is single-label.

    Raises
    ------
    DataError
        If the index has one class only, or its labels do not suit the task asked for.
    """
    classes = index.classes
    if index.multi_label:
        if recipe.task not in ("auto", "multi-label"):
            raise DataError(
                f"patches of index '{index.name}' carry several labels, and the task asked for is {recipe.task}",
                fix="leave the task out, or set task=multi-label",
            )
        return Targets("multi-label", classes)
    if recipe.task == "multi-label":
        raise DataError(
            f"each patch of index '{index.name}' has one label, and the task asked for is multi-label",
            fix="leave the task out, or make the index from a table with a column of several labels",
        )
    if len(classes) < 2:
        raise DataError("the index has one class only", fix="add patches of another class")
    if recipe.positive is not None and recipe.positive not in classes:
        raise DataError(
            f"the index has no class '{recipe.positive}'", fix=f"its classes are {', '.join(classes)}"
        )
    if len(classes) > 2:
        if recipe.task == "binary" or recipe.positive is not None:
            raise DataError(
                f"the binary task takes two classes, and the index has {len(classes)}",
                fix=f"make one with: swath data binary INDEX --positive {recipe.positive or classes[0]}",
            )
        return Targets("single-label", classes)
    if recipe.task == "single-label":
        return Targets("single-label", classes)
    rows = zip(index.labels, index.table["split"].to_pylist(), strict=True)
    counts = Counter(label for label, split in rows if split == "train")  # the test split decides nothing
    positive = recipe.positive or min(reversed(classes), key=lambda name: counts[name])
    return Targets("binary", (next(name for name in classes if name != positive), positive))


def one_hot(targets: npt.NDArray[Any], task: Task, classes: int) -> npt.NDArray[np.float32]:
    """Targets as shares, float32 ``[N, K]``; for the binary task ``[N, 1]``."""
    if task == "multi-label":
        return np.asarray(targets, np.float32)
    if task == "binary":
        return np.asarray(targets, np.float32)[:, None]
    return np.asarray(np.eye(classes, dtype=np.float32)[targets])


def training_parts(index: PatchIndex) -> dict[str, PatchIndex]:
    """The train and val parts, each with every class in it.

    Raises
    ------
    DataError
        If a split is missing, or a class has no patch in it.
    """
    if len(index.classes) < 2:
        raise DataError("the index has one class only", fix="add patches of another class")
    parts = {split: index.where(split) for split in ("train", "val")}
    for split, part in parts.items():
        missing = sorted(set(index.classes) - set(part.classes))
        if missing:
            raise DataError(
                f"the {split} split has no patch of {', '.join(missing)}",
                fix="make splits with: swath data split",
            )
    return parts


def decoded(
    parts: dict[str, PatchIndex],
    recipe: Recipe,
    targets: Targets,
    *,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Patches]:
    """Pixels and targets of each part.

    Raises
    ------
    DataError
        If train and val patches differ in size or type.
    SettingError
        If they, or the recipe's crops, are too small for its network.
    """
    patches = {}
    for split, part in parts.items():
        pixels = cached_pixels(part, bands=recipe.bands, size=recipe.size, cache=cache, progress=progress)
        patches[split] = Patches(pixels, targets.of(part))
    one, other = patches["train"].pixels, patches["val"].pixels
    if (one.shape[1:], one.dtype) != (other.shape[1:], other.dtype):
        raise DataError(
            "train and val patches differ in size or type", fix="give --set size=64, or the size you want"
        )
    _check_sizes(one.shape[-1], recipe)
    return patches


def _check_sizes(size: int, recipe: Recipe) -> None:
    """Patches and crops are large enough for the network."""
    least, crop = smallest_patch(recipe.network), recipe.augmentation.crop
    if crop is not None and crop < least <= size:
        raise SettingError(
            f"crops of {crop} px are too small for this network, which needs {least}",
            fix=f"give --set augmentation.crop={least} or more",
        )
    if crop is not None and crop < size and takes_one_size(recipe.network):
        raise SettingError(
            f"the network {recipe.network.name} takes patches of one size, so no crops",
            fix="give --set augmentation.crop=null",
        )
    if size < least:
        raise SettingError(
            f"patches of {size} px are too small for the network {recipe.network.name}, which needs {least}",
            fix=f"give --set size={max(least, 16)}, or a network with fewer stages",
        )


@dataclass(frozen=True)
class InitialNetwork:
    """A network before its first step.

    Attributes
    ----------
    network : torch.nn.Module
        Maps normalized patches to :class:`swath.networks.Outputs`.
    normalization : Normalization
        That of the training patches, or the one the loaded weights were trained with.
    facts : WeightFacts or None
        What was loaded.
    """

    network: nn.Module
    normalization: Normalization
    facts: WeightFacts | None


def initialize_network(
    pixels: npt.NDArray[Any],
    recipe: Recipe,
    *,
    logits: int,
    require_redistributable: bool = False,
    progress: Progress = silent,
) -> InitialNetwork:
    """Build the recipe's network, seeded, and load its weights.

    Parameters
    ----------
    pixels : numpy.ndarray
        Training patches ``[N, bands, P, P]`` as stored.
    recipe : Recipe
        Network, weights and seed.
    logits : int
        Outputs of the network.
    require_redistributable : bool
        Refuse weights whose license does not let the model be passed on.

    Raises
    ------
    SwathError
        If the weights are not to be had, do not fit the network, or expect another input.
    """
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, bands=pixels.shape[1], outputs=logits, size=pixels.shape[-1]).to(
        memory_format=torch.channels_last
    )
    measured = Normalization.of(pixels)
    if recipe.weights == "none":
        if recipe.freeze != Freezing():
            _log.warning(
                "the backbone starts at random, and the recipe lets it rest or learn more slowly: "
                "give --weights, or --set 'freeze={}'"
            )
        return InitialNetwork(network, measured, None)
    facts = load_weights(
        network, recipe.weights, network_name=recipe.network.name, bands=recipe.bands, progress=progress
    )
    if require_redistributable:
        facts.check_redistributable()
    if facts.warning is not None:
        _log.warning(facts.warning)
    if facts.expects is None:
        _log.warning(
            "%s does not say what input it expects: that of the training patches is used", facts.source
        )
        return InitialNetwork(network, measured, facts)
    check_expectation(
        facts.expects,
        bands=recipe.bands,
        data_type=pixels.dtype.name,
        largest=float(max(pixels[start : start + 1024].max() for start in range(0, len(pixels), 1024))),
        channel_mean=tuple(float(v) for v in measured.mean),
        source=facts.source,
    )
    mean, sd = (np.asarray(v, np.float32) for v in facts.expects.normalization(recipe.bands))
    return InitialNetwork(network, Normalization(mean, sd), facts)
