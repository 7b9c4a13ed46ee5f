"""Numbers of a multi-label model: each label for itself, their means, and whole sets of labels.

Conventions are scikit-learn's with ``zero_division=0``. As for single labels, a class without a patch in
the split takes no part in a mean over classes: macro-F1 is ``f1_score(truth, called, labels=<classes with
a positive>, average="macro")`` and mAP the mean of ``average_precision_score`` over the same classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.binary import checked
from swath.evaluation.intervals import (
    f1_estimate,
    mean_interval,
    percentile_interval,
    proportion,
    resample_patches,
    wider,
)
from swath.evaluation.ranking import Floats, Ranking, Truth, average_precision_estimate
from swath.model.record import Estimate


class LabelMetrics(Settings):
    """One label: precision (n: patches called so), recall (n: that are so), F1 (n: either), AP (n: that are).

    ``threshold`` decides who is called so. Guessing gives an average precision of the label's share.
    """

    threshold: float
    precision: Estimate
    recall: Estimate
    f1: Estimate
    average_precision: Estimate


class MultiLabelMetrics(Settings):
    """How well sets of labels fit the truth.

    Attributes
    ----------
    n : int
        Patches.
    macro_f1, mean_average_precision : Estimate
        Plain means over the classes that have a patch.
    micro_f1 : Estimate
        F1 of all answers on all labels taken together: common labels count more.
    subset_accuracy : Estimate
        Share of patches all of whose labels are right.
    per_class : dict of str to LabelMetrics
        Of each label.
    """

    n: int
    macro_f1: Estimate
    micro_f1: Estimate
    mean_average_precision: Estimate
    subset_accuracy: Estimate
    per_class: dict[str, LabelMetrics]

    def headline(self) -> dict[str, Estimate]:
        """The numbers to show first, by name."""
        names = ("macro_f1", "micro_f1", "mean_average_precision", "subset_accuracy")
        return {name: getattr(self, name) for name in names}


def measure_multilabel(
    truth: Truth,
    scores: npt.NDArray[Any],
    *,
    thresholds: Sequence[float],
    names: Sequence[str],
    seed: int = 0,
) -> MultiLabelMetrics:
    """All numbers of a multi-label model.

    Precision, recall and subset accuracy have Wilson intervals, F1 of a class the indirect Wilson
    interval. The means over classes, and micro-F1, have the wider on each side of the bootstrap over
    patches (labels of one patch come together) and of their parts' own intervals (a class without an
    error is not a class without doubt).

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N, K]`` bool; at least one patch and one label on one of them.
    scores : numpy.ndarray
        ``[N, K]`` probabilities.
    thresholds : sequence of float
        One a class; a patch has a label where ``score >= threshold``.
    names : sequence of str
        The K labels.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    DataError
        If there is no patch or no label at all, or not one finite score for each.
    """
    truth, scores = checked(truth, scores)
    n, k = truth.shape
    if len(thresholds) != k or len(names) != k:
        raise DataError(f"{k} labels, {len(names)} names and {len(thresholds)} thresholds do not fit")
    if not truth.any():
        raise DataError("no patch has any label", fix="measure on patches that have some")
    called = scores >= np.asarray(thresholds, np.float64)
    hits, support, calls = (m.sum(axis=0) for m in (truth & called, truth, called))
    rankings = [Ranking(truth[:, j], scores[:, j]) for j in range(k)]
    present: list[int] = np.flatnonzero(support).tolist()
    samples = _resampled(truth, called, rankings, present, seed=seed)
    per_class = {
        name: LabelMetrics(
            threshold=float(thresholds[j]),
            precision=proportion(int(hits[j]), int(calls[j])),
            recall=proportion(int(hits[j]), int(support[j])),
            f1=f1_estimate(int(hits[j]), int(support[j] + calls[j] - hits[j])),
            average_precision=average_precision_estimate(rankings[j], samples["precision"][:, j]),
        )
        for j, name in enumerate(names)
    }
    shown = [per_class[names[j]] for j in present]
    pooled = f1_estimate(int(hits.sum()), int((support + calls - hits).sum()))
    return MultiLabelMetrics(
        n=n,
        macro_f1=_mean([c.f1 for c in shown], samples["macro"], n=n),
        micro_f1=_between(pooled.value, wider((pooled.low, pooled.high), _limits(samples["micro"])), n=n),
        mean_average_precision=_mean([c.average_precision for c in shown], samples["map"], n=n),
        subset_accuracy=proportion(int((truth == called).all(axis=1).sum()), n),
        per_class=per_class,
    )


def marked(sets: Sequence[tuple[str, ...]], names: Sequence[str]) -> Truth:
    """Sets of labels as bool ``[N, K]``."""
    return np.array([[name in labels for name in names] for labels in sets], bool)


def _resampled(
    truth: Truth, called: Truth, rankings: Sequence[Ranking], present: Sequence[int], *, seed: int
) -> dict[str, Floats]:
    """Macro-F1, micro-F1 and mAP ``[B]``, and average precisions ``[B, K]``, of resampled patches."""
    is_so, said_so, right = (m.astype(np.float64) for m in (truth, called, truth & called))
    found: dict[str, list[Floats]] = {"macro": [], "micro": [], "map": [], "precision": []}
    for weights in resample_patches(len(truth), classes=len(rankings), seed=seed):
        support, calls, hits = weights @ is_so, weights @ said_so, weights @ right
        f1 = 2 * hits / np.maximum(support + calls, 1)
        held = support > 0
        precision = np.full((len(weights), len(rankings)), np.nan)
        for j in present:
            precision[:, j] = rankings[j].average_precision(weights)
        # A draw holds a label at least somewhere, or says nothing.
        there = np.maximum(held.sum(axis=1), 1)
        nothing = ~held.any(axis=1)
        macro = np.where(held, f1, 0.0).sum(axis=1) / there
        mean = np.where(held, np.nan_to_num(precision), 0.0).sum(axis=1) / there
        micro = 2 * hits.sum(axis=1) / np.maximum((support + calls).sum(axis=1), 1)
        for name, values in (("macro", macro), ("map", mean), ("micro", micro)):
            found[name].append(np.where(nothing, np.nan, values))
        found["precision"].append(precision)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _mean(parts: list[Estimate], samples: Floats, *, n: int) -> Estimate:
    value = sum(e.value for e in parts) / len(parts)
    return _between(value, wider(mean_interval(parts), _limits(samples)), n=n)


def _limits(samples: Floats) -> tuple[float, float]:
    finite = samples[np.isfinite(samples)]
    return percentile_interval(finite) if len(finite) else (0.0, 1.0)


def _between(value: float, limits: tuple[float, float], *, n: int) -> Estimate:
    low, high = wider(limits, (value, value))
    return Estimate(value=value, low=low, high=high, n=n)
