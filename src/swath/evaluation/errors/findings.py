"""What an error analysis found: the contents of ``errors.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex
from swath.evaluation.errors.slices import Slice
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import ClassMetrics, Metrics
from swath.model.record import Estimate
from swath.pages.wording import columns, percent, points, written

WEAKEST = 3
MOST_PAIRS = 10
Counts = npt.NDArray[np.int64]
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss


class ConfusedPair(Settings):
    """Patches of one class that were called another: `share` of the patches of the true class."""

    truth: str
    called: str
    n: int
    share: Estimate


class WeakClass(Settings):
    """A class with its scores, what else its patches were called, and what else was called so."""

    name: str
    scores: ClassMetrics
    called: dict[str, int]
    taken: dict[str, int]


class ErrorAnalysis(Settings):
    """Where a model fails on one split.

    Attributes
    ----------
    model, split, engine, fingerprint, trained_on : str
        As of :class:`swath.evaluation.Evaluation`.
    n, errors : int
        Patches, and those answered wrongly.
    accuracy : Estimate
        Of all patches.
    pairs : tuple of Pair
        The most confused, most often first.
    weakest : tuple of WeakClass
        Up to three classes with mistakes, lowest F1 first.
    slices : tuple of Slice
        Clearest difference first.
    alike : tuple of str
        Slicings in which all patches are alike.
    warnings : tuple of str
        Reasons to believe the analysis less.
    """

    model: str
    split: str
    engine: str
    fingerprint: str
    trained_on: str
    n: int
    errors: int
    accuracy: Estimate
    pairs: tuple[ConfusedPair, ...]
    weakest: tuple[WeakClass, ...]
    slices: tuple[Slice, ...]
    alike: tuple[str, ...]
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Tell the analysis in plain text, for a terminal."""
        value, interval = percent(self.accuracy)
        lines = [
            f"model {self.model}, split {self.split}: {self.errors:,} of {self.n:,} patches wrong "
            f"(accuracy {value}, {interval})"
        ]
        if self.pairs:
            rows = [("label", "called", "patches", "of the class", "")]
            rows.extend(
                (written(p.truth), written(p.called), f"{p.n:,}", *percent(p.share)) for p in self.pairs[:5]
            )
            lines += ["", *columns(rows)]
        if self.weakest:
            rows = [("weakest class", "n", "F1", "", "mostly called")]
            rows.extend(
                (written(w.name), f"{w.scores.recall.n:,}", *percent(w.scores.f1), most(w.called, limit=1))
                for w in self.weakest
            )
            lines += ["", *columns(rows)]
        lines += ["", slices_sentence(self.slices)]
        lines += [
            f"  {s.by}: {written(s.name, limit=48)}: {points(s.difference)}, corrected p {p_text(s.corrected)}"
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
            called=names[j],
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
        WeakClass(
            name=names[k],
            scores=metrics.per_class[names[k]],
            called=others(off[k]),
            taken=others(off[:, k]),
        )
        for k in faulty[:WEAKEST]
    )


def most(counts: dict[str, int], *, limit: int = 3) -> str:
    """Write counts as ``River (12), Highway (3)``, or a dash."""
    return ", ".join(f"{written(name)} ({n})" for name, n in list(counts.items())[:limit]) or "\u2013"


def p_text(p: float) -> str:
    """Write a p-value: ``0.032``, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


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


@dataclass(frozen=True)
class ErrorInputs:
    """What a model said of N patches.

    Attributes
    ----------
    part : PatchIndex
        The patches.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    classes : tuple of str
        The K class names.
    probabilities : numpy.ndarray
        ``[N, K]`` float32.
    truth, predicted : numpy.ndarray
        ``[N]`` int64 class numbers.
    """

    part: PatchIndex
    pixels: npt.NDArray[Any]
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``[N]``, whether the answer is the label."""
        return np.asarray(self.truth == self.predicted)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """``[N]``, the probability of the answer."""
        return self._of(self.predicted)

    @property
    def loss(self) -> npt.NDArray[np.float64]:
        """``[N]``, the negative logarithm of the probability of the label."""
        return np.asarray(-np.log(np.maximum(self._of(self.truth), _SMALLEST)) + 0.0)

    def _of(self, classes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return self.probabilities[np.arange(len(classes)), classes].astype(np.float64)
