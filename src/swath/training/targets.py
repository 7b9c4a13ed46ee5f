"""What a network learns to predict: the task, its classes in order, and the labels of an index as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.errors import DataError
from swath.model.record import Task
from swath.training.recipe import Recipe


@dataclass(frozen=True)
class Targets:
    """The task of a run.

    Attributes
    ----------
    task : str
        ``single-label``, ``binary`` or ``multi-label``.
    classes : tuple of str
        In the order of the model file's outputs; for the binary task the negative class, then the positive one.
    """

    task: Task
    classes: tuple[str, ...]

    @property
    def logits(self) -> int:
        """Outputs of the network: one for the binary task, else one per class."""
        return 1 if self.task == "binary" else len(self.classes)

    def of(self, index: PatchIndex) -> npt.NDArray[Any]:
        """Targets of all patches; see :meth:`swath.data.PatchIndex.targets`."""
        return index.targets(self.classes, multi_label=self.task == "multi-label")

    def shares(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Targets as :meth:`of` gives them, as float32 ``[N, L]``, one column per logit of 0 and 1."""
        if self.task == "multi-label":
            return np.asarray(labels, np.float32)
        if self.task == "binary":
            return np.asarray(labels, np.float32)[:, None]
        return np.asarray(np.eye(len(self.classes), dtype=np.float32)[labels])


def choose_targets(index: PatchIndex, recipe: Recipe) -> Targets:
    """The task of an index, by the recipe or by its labels.

    Patches with several labels are multi-label; two classes are binary, and the positive one is the recipe's
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
        raise DataError(f"the index has no class '{recipe.positive}'", fix=f"its classes are {', '.join(classes)}")
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
                fix=f"split again: swath data split {_named(index)} --resplit --out {_named(index)} --overwrite; "
                "a class of one group needs patches of other scenes, or leave it out",
            )
    return parts


def _named(index: PatchIndex) -> str:
    return str(index.file or "INDEX")
