"""What an error analysis found: the contents of ``errors.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field, InstanceOf

from swath.config import Settings
from swath.evaluation.errors.slices import Slice, Slicing
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import ClassMetrics, Metrics
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.results import Result, text_table
from swath.evaluation.seen import SeenCount, seen_lines
from swath.model.record import Estimate
from swath.pages.html import Table
from swath.pages.text import p_value, percent, points, written

WEAKEST = 3
MOST_PAIRS = 10
Counts = npt.NDArray[np.int64]


class ConfusedPair(Settings):
    """Patches of one class that were predicted as another: `share` of the patches of the true class."""

    truth: str
    predicted: str
    n: int
    share: Estimate


class WeakClass(Settings):
    """A class with its scores, what else its patches were predicted as, and what else was predicted as it."""

    name: str
    scores: ClassMetrics
    predicted: dict[str, int]
    taken: dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class ErrorDetails:
    """The patches behind an :class:`ErrorAnalysis`.

    Attributes
    ----------
    predictions : SplitPredictions
        Truth and prediction of each of N patches.
    slicings : list of Slicing
        How the patches were divided.
    galleries : dict of str to numpy.ndarray
        Rows to show, by title.
    maps : dict of int to list of numpy.ndarray
        By row, evidence ``[h, w]`` for the predicted class and, where that is wrong, for the label.
    note : str
        What the maps show, or why there are none.
    every_map : bool
        Whether there are maps of all misclassified patches, to be written one by one.
    """

    predictions: SplitPredictions
    slicings: list[Slicing]
    galleries: dict[str, npt.NDArray[np.int64]]
    maps: dict[int, list[npt.NDArray[np.float32]]]
    note: str
    every_map: bool = False


class ErrorAnalysis(Result):
    """Where a model fails on one split.

    Attributes
    ----------
    model, split, engine, fingerprint, trained_on : str
        As of :class:`swath.evaluation.Evaluation`.
    n, errors : int
        Patches, and those answered wrongly.
    seen : SeenCount
        How many of them the model has seen.
    accuracy : Estimate
        Of all patches.
    unseen_accuracy : Estimate or None
        Of those it has not seen, where it has seen some and enough others remain.
    pairs : tuple of ConfusedPair
        The most confused, most often first.
    weakest : tuple of WeakClass
        Up to three classes with mistakes, lowest F1 first.
    slices : tuple of Slice
        Clearest difference first.
    alike : tuple of str
        Slicings in which all patches are alike.
    warnings : tuple of str
        Reasons to trust the analysis less.
    details : ErrorDetails or None
        The patches themselves; not in the JSON, so None where it was read from there.
    """

    model: str
    split: str
    engine: str
    fingerprint: str
    trained_on: str
    n: int
    errors: int
    seen: SeenCount
    accuracy: Estimate
    unseen_accuracy: Estimate | None = None
    pairs: tuple[ConfusedPair, ...]
    weakest: tuple[WeakClass, ...]
    slices: tuple[Slice, ...]
    alike: tuple[str, ...]
    warnings: tuple[str, ...]
    details: InstanceOf[ErrorDetails] | None = Field(default=None, exclude=True, repr=False)

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        value, interval = percent(self.accuracy)
        lines = [
            *seen_lines(self.seen, {"accuracy": self.unseen_accuracy}),
            f"model {self.model}, split {self.split}: {self.errors:,} of {self.n:,} patches wrong "
            f"(accuracy{self.seen.mark} {value}, {interval})",
        ]
        if self.pairs:
            pairs = [(p.truth, p.predicted, p.n, p.share) for p in self.pairs[:5]]
            lines += ["", *text_table(Table(("label", "predicted", "patches", "of the class"), pairs))]
        if self.weakest:
            weak = [(w.name, w.scores.recall.n, w.scores.f1, most(w.predicted, limit=1)) for w in self.weakest]
            lines += ["", *text_table(Table(("weakest class", "n", "F1", "mostly predicted"), weak))]
        lines += ["", slices_sentence(self.slices)]
        lines += [
            f"  {s.by}: {written(s.name, limit=48)}: {points(s.difference)}, {p_value(s.corrected)}, corrected"
            for s in self.slices
            if s.clear
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return [line.rstrip() for line in lines]


def confused_pairs(confusion: Counts, names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """The most confused pairs, most often first.

    Parameters
    ----------
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows.
    names : sequence of str
        The K class names.
    """
    support = confusion.sum(axis=1)
    cells = [(int(i), int(j)) for i, j in np.argwhere(confusion > 0) if i != j]
    cells.sort(key=lambda cell: (-confusion[cell], cell))
    return tuple(
        ConfusedPair(
            truth=names[i],
            predicted=names[j],
            n=int(confusion[i, j]),
            share=proportion(int(confusion[i, j]), int(support[i])),
        )
        for i, j in cells[:MOST_PAIRS]
    )


def weakest_classes(confusion: Counts, names: Sequence[str], metrics: Metrics) -> tuple[WeakClass, ...]:
    """Up to three classes of lowest F1, of those that have patches and mistakes."""
    off = confusion - np.diag(np.diag(confusion))
    faulty = [k for k in range(len(names)) if confusion[k].any() and (off[k].any() or off[:, k].any())]
    faulty.sort(key=lambda k: (metrics.per_class[names[k]].f1.value, k))

    def others(counts: Counts) -> dict[str, int]:
        order = np.argsort(-counts, kind="stable")
        return {names[j]: int(counts[j]) for j in order if counts[j]}

    return tuple(
        WeakClass(name=names[k], scores=metrics.per_class[names[k]], predicted=others(off[k]), taken=others(off[:, k]))
        for k in faulty[:WEAKEST]
    )


def most(counts: dict[str, int], *, limit: int = 3) -> str:
    """Write counts as ``River (12), Highway (3)``, or a dash."""
    return ", ".join(f"{written(name)} ({n})" for name, n in list(counts.items())[:limit]) or "\u2013"


def slices_sentence(slices: Sequence[Slice]) -> str:
    """Say how many slices differ from the rest by more than their number explains."""
    if not slices:
        return "No slice is large enough to compare with the rest."
    clear = [s for s in slices if s.clear]
    worse = [s for s in clear if s.difference.value < 0]
    if not clear:
        return f"None of {len(slices)} slices differs from the rest by more than chance would explain among so many."
    return (
        f"{len(clear)} of {len(slices)} slices differ from the rest by more than chance explains; in "
        f"{len(worse)} of them the model is worse."
    )
