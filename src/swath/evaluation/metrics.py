"""Accuracy, macro-F1 and the numbers of each class, each with its interval.

Conventions, the same as scikit-learn's with ``zero_division=0``: a ratio without a denominator is 0 (and
its interval is 0 to 1, its ``n`` 0). Macro-F1 is the plain mean of F1 over the classes that the split
holds: ``f1_score(truth, predicted, labels=<classes of the split>, average="macro", zero_division=0)``. A
class without a patch in the split cannot be measured, so it takes no part in the mean; calling patches by
its name still costs the classes they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.evaluation.intervals import (
    f1_estimate,
    mean_interval,
    paired_interval,
    percentile_interval,
    proportion,
    proportion_difference,
    resample,
    wider,
)
from swath.model.record import Estimate

Labels = npt.NDArray[np.int64]


class ClassMetrics(Settings):
    """Precision (n: patches called so), recall (n: patches that are so) and F1 (n: either)."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


class Metrics(Settings):
    """How well a set of answers fits the truth."""

    accuracy: Estimate
    macro_f1: Estimate
    per_class: dict[str, ClassMetrics]

    def headline(self) -> dict[str, Estimate]:
        """The numbers to show first, by name."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}


def confusion_matrix(truth: Labels, predicted: Labels, *, classes: int) -> npt.NDArray[np.int64]:
    """Count patches by true class (rows) and predicted class (columns).

    Parameters
    ----------
    truth, predicted : numpy.ndarray
        ``[N]`` int64 class numbers.
    classes : int
        How many classes there are.

    Returns
    -------
    numpy.ndarray
        ``[classes, classes]`` int64.
    """
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def measure(confusion: npt.NDArray[np.int64], names: Sequence[str], *, seed: int = 0) -> Metrics:
    """All metrics of a confusion matrix.

    Accuracy, precision and recall have Wilson intervals, F1 the indirect Wilson interval. Macro-F1 has
    the wider of two on each side: the bootstrap over patches, which knows that an error costs two
    classes at once, and the combination of the classes' own intervals, which knows that a class without
    an error is not a class without doubt. In simulation the bootstrap alone covered the truth in as few
    as 70 % of small, nearly perfect splits; the wider of both in 93 % or more everywhere tried.

    Parameters
    ----------
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows; at least one patch.
    names : sequence of str
        The K class names.
    seed : int
        Seed of the bootstrap.
    """
    hits, support, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    n = int(confusion.sum())
    per_class = {
        name: ClassMetrics(
            precision=proportion(int(hits[k]), int(called[k])),
            recall=proportion(int(hits[k]), int(support[k])),
            f1=f1_estimate(int(hits[k]), int(support[k] + called[k] - hits[k])),
        )
        for k, name in enumerate(names)
    }
    truth, predicted = np.nonzero(confusion)
    draws = resample(confusion[truth, predicted], seed=seed)
    resampled = percentile_interval(macro_f1_samples(truth, predicted, draws, classes=len(names)))
    parts = [per_class[name].f1 for k, name in enumerate(names) if support[k]]
    combined = mean_interval(parts)
    macro = Estimate(
        value=sum(e.value for e in parts) / len(parts),
        low=min(resampled[0], combined[0]),
        high=max(resampled[1], combined[1]),
        n=n,
    )
    return Metrics(accuracy=proportion(int(hits.sum()), n), macro_f1=macro, per_class=per_class)


def paired_differences(
    truth: Labels, first: Labels, second: Labels, *, classes: int, seed: int = 0
) -> tuple[Estimate, Estimate]:
    """First minus second set of answers to the same patches: accuracy and macro-F1.

    Both are judged on the same resampled patches, so what is hard for both cancels out.

    Parameters
    ----------
    truth, first, second : numpy.ndarray
        ``[N]`` int64 class numbers.
    classes : int
        How many classes there are.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    tuple of Estimate
        Differences of accuracy and of macro-F1, -1 to 1, with the wider of the bootstrap's percentile interval and
        one that has a width where few answers differ.
    """
    cells, counts = np.unique(np.stack([truth, first, second]), axis=1, return_counts=True)
    observed = counts.astype(np.float64)[None]
    draws = resample(counts.astype(np.int64), seed=seed)
    n = len(truth)

    def accuracy(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        right = (cells[0] == cells[1]).astype(np.float64) - (cells[0] == cells[2])
        return np.asarray(weights @ right / n)

    def macro_f1(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        one, two = (macro_f1_samples(cells[0], c, weights, classes=classes) for c in (cells[1], cells[2]))
        return np.asarray(one - two)

    one, two = first == truth, second == truth
    exact = proportion_difference(int((one & ~two).sum()), n, int((two & ~one).sum()), n)
    low, high = wider(percentile_interval(accuracy(draws)), (exact.low, exact.high))
    f1 = float(macro_f1(observed)[0])
    f1_low, f1_high = paired_interval(macro_f1(draws), f1, n)
    return (
        Estimate(value=float(accuracy(observed)[0]), low=low, high=high, n=n),
        Estimate(value=f1, low=f1_low, high=f1_high, n=n),
    )


def macro_f1_samples(
    truth: Labels, predicted: Labels, counts: npt.NDArray[np.float64], *, classes: int
) -> npt.NDArray[np.float64]:
    """Macro-F1 of many tables of counts over the same cells.

    Parameters
    ----------
    truth, predicted : numpy.ndarray
        ``[U]`` int64, true and predicted class of each cell.
    counts : numpy.ndarray
        ``[B, U]`` float64, patches in each cell of each table.
    classes : int
        How many classes there are.

    Returns
    -------
    numpy.ndarray
        ``[B]`` float64, each the mean over the classes its own table holds.
    """
    identity = np.eye(classes)
    support = counts @ identity[truth]
    called = counts @ identity[predicted]
    right = truth == predicted
    hits = counts[:, right] @ identity[truth[right]]
    present = support > 0
    f1 = np.where(present, 2 * hits / np.maximum(support + called, 1), 0.0)
    return np.asarray(f1.sum(axis=1) / present.sum(axis=1))
