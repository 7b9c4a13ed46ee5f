"""Accuracy, macro-F1 and the numbers of each class, each with its interval.

Conventions, the same as scikit-learn's with ``zero_division=0``: a ratio without a denominator is 0 (and
its interval is 0 to 1, its ``n`` 0). Macro-F1 is the plain mean of F1 over the classes that the split
holds: ``f1_score(truth, predicted, labels=<classes of the split>, average="macro", zero_division=0)``. A
class without a patch in the split cannot be measured, so it takes no part in the mean; calling patches by
its name still costs the classes they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import (
    Floats,
    around,
    delta_interval,
    difference_interval,
    estimate,
    f1_estimate,
    f1_shortfall,
    mean_difference,
    mean_interval,
    paired_interval,
    proportion,
    wider,
)
from swath.evaluation.ranking import Ranking, Truth, auroc_estimate, average_precision_estimate
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


def measure(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> Metrics:
    """All metrics of a confusion matrix.

    Accuracy, precision and recall have Wilson intervals, F1 the indirect Wilson interval. Macro-F1 has
    the wider of two on each side: the delta method, which knows that an error costs two classes at once, and the
    combination of the classes' own intervals, which knows that a class without an error may still have errors on
    more patches.

    Parameters
    ----------
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows; at least one patch.
    names : sequence of str
        The K class names.
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
    cells = np.repeat(np.arange(confusion.size), confusion.ravel())
    _, slopes = macro_f1(*np.divmod(cells, len(names)), classes=len(names))
    macro = _macro_f1([per_class[name].f1 for k, name in enumerate(names) if support[k]], slopes, n=n)
    return Metrics(accuracy=proportion(int(hits.sum()), n), macro_f1=macro, per_class=per_class)


def paired_differences(truth: Labels, first: Labels, second: Labels, *, classes: int) -> tuple[Estimate, Estimate]:
    """First minus second set of answers to the same patches: accuracy and macro-F1.

    Both are measured on the same patches, so what is hard for both cancels out.

    Parameters
    ----------
    truth, first, second : numpy.ndarray
        ``[N]`` int64 class numbers.
    classes : int
        How many classes there are.

    Returns
    -------
    tuple of Estimate
        Differences of accuracy and of macro-F1, -1 to 1, with the interval of :func:`paired_interval`.
    """
    (f1, slopes), (other, others) = (macro_f1(truth, answers, classes=classes) for answers in (first, second))
    return (
        mean_difference((first == truth).astype(np.float64) - (second == truth)),
        estimate(f1 - other, paired_interval(f1 - other, slopes - others), n=len(truth)),
    )


def macro_f1(truth: Labels, predicted: Labels, *, classes: int) -> tuple[float, Floats]:
    """Macro-F1 over the classes that have a patch, and its slopes (see :func:`delta_interval`).

    Parameters
    ----------
    truth, predicted : numpy.ndarray
        ``[N]`` int64 class numbers; N at least 1.
    classes : int
        How many classes there are.

    Returns
    -------
    tuple of float and numpy.ndarray
        The mean, and ``[N]`` its derivative by the weight of each patch.
    """
    support = np.bincount(truth, minlength=classes)
    involved = np.maximum(support + np.bincount(predicted, minlength=classes), 1)
    right = truth == predicted
    present = support > 0
    f1 = np.where(present, 2 * np.bincount(truth[right], minlength=classes) / involved, 0.0)
    lost = f1 / involved  # by a class with each patch that is of it, or called so
    slopes = (2 * right / involved[truth] - lost[truth] - lost[predicted]) / present.sum()
    return float(f1.sum() / present.sum()), np.asarray(slopes)


def cohen_kappa(first: Labels, second: Labels, *, classes: int) -> Estimate:
    """Agreement of two sets of answers beyond what their class shares alone would give, -1 to 1.

    Cohen 1960, Educ. Psychol. Meas. 20, 37-46. The interval is the wider on each side of the delta method and of the
    share of agreement alone (its Wilson interval, with the agreement by chance as it is), which has a width even where
    both always agree.

    Parameters
    ----------
    first, second : numpy.ndarray
        ``[N]`` int64 class numbers; N at least 1.
    classes : int
        How many classes there are.

    Returns
    -------
    Estimate
        Its ``n`` is 0 where both know one class only, so that all agreement is by chance and there is no kappa.

    Examples
    --------
    >>> import numpy as np
    >>> round(cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), classes=2).value, 3)
    0.5
    """
    n, same = len(first), first == second
    p, q = (np.bincount(labels, minlength=classes) / n for labels in (first, second))
    chance = float(p @ q)
    if chance >= 1:
        return Estimate(value=0.0, low=-1.0, high=1.0, n=0)
    agreement = proportion(int(same.sum()), n)
    value = (agreement.value - chance) / (1 - chance)
    by_chance = (q[first] + p[second] - 2 * chance) / n
    slopes = (same - agreement.value) / n / (1 - chance) - (1 - agreement.value) * by_chance / (1 - chance) ** 2
    alone = ((agreement.low - chance) / (1 - chance), (agreement.high - chance) / (1 - chance))
    limits = wider(delta_interval(value, np.asarray(slopes, np.float64), within=(-1.0, 1.0)), alone)
    return around(value, (max(-1.0, limits[0]), min(1.0, limits[1])), n=n)


class BinaryMetrics(Settings):
    """How well scores find the positives, with and without a threshold.

    Attributes
    ----------
    positive : str
        The class looked for.
    threshold : float
        A patch is called positive where its probability is at least this.
    positives, n : int
        Patches that are positive, and all.
    average_precision, auroc : Estimate
        Of the ranking, whatever the threshold. Guessing gives the share of positives, and 0.5.
    precision, recall, f1 : Estimate
        Of the positives at the threshold.
    accuracy : Estimate
        At the threshold; with few positives it is high for who finds none.
    """

    positive: str
    threshold: float
    positives: int
    n: int
    average_precision: Estimate
    auroc: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    accuracy: Estimate

    def headline(self) -> dict[str, Estimate]:
        """The numbers to show first, by name."""
        names = ("average_precision", "auroc", "f1", "precision", "recall", "accuracy")
        return {name: getattr(self, name) for name in names}


def measure_binary(truth: Truth, scores: npt.NDArray[Any], *, threshold: float, names: Sequence[str]) -> BinaryMetrics:
    """All numbers of a binary model.

    Accuracy, precision and recall have Wilson intervals, F1 the indirect Wilson interval, AUROC
    Newcombe's, average precision the wider of delta method and binomial; see
    :mod:`swath.evaluation.ranking`.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, whether each patch is positive; at least one patch.
    scores : numpy.ndarray
        ``[N]`` probabilities of the positive class.
    threshold : float
        Decides: positive where ``score >= threshold``.
    names : sequence of str
        Negative and positive class.

    Raises
    ------
    DataError
        If there is no patch, or not one finite score per patch.
    """
    truth, scores = checked(truth, scores)
    called = scores >= threshold
    hits, support = int((truth & called).sum()), int(truth.sum())
    ranking = Ranking(truth, scores)
    slopes = ranking.average_precision_slopes() if support else np.zeros(len(truth))
    return BinaryMetrics(
        positive=names[1],
        threshold=threshold,
        positives=support,
        n=len(truth),
        average_precision=average_precision_estimate(ranking, slopes),
        auroc=auroc_estimate(truth, scores),
        precision=proportion(hits, int(called.sum())),
        recall=proportion(hits, support),
        f1=f1_estimate(hits, int((truth | called).sum())),
        accuracy=proportion(int((truth == called).sum()), len(truth)),
    )


def paired_average_precision(truth: Truth, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Estimate:
    """Average precision of one set of scores minus that of another, on the same patches.

    No threshold takes part, so that scores whose threshold was chosen and scores whose threshold was not are compared
    with each other fairly.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one patch.
    first, second : numpy.ndarray
        ``[N]``, larger for more probable positives; finite.

    Returns
    -------
    Estimate
        Difference, -1 to 1, with a paired interval that has a width even where both rank alike; its ``n`` is the
        positives, of which there may be few. Without any it is 0 between -1 and 1.
    """
    one, two = Ranking(truth, first), Ranking(truth, second)
    if not one.positives:
        return Estimate(value=0.0, low=-1.0, high=1.0, n=0)
    value = one.average_precision - two.average_precision
    slopes, others = one.average_precision_slopes(), two.average_precision_slopes()
    # The poorer ranking's average precision is skewed, which its own limits know and the delta method does not.
    apart = difference_interval(
        average_precision_estimate(one, slopes),
        average_precision_estimate(two, others),
        correlation=float(slopes @ others / max(math.sqrt(float(slopes @ slopes) * float(others @ others)), 1e-12)),
    )
    limits = wider(paired_interval(value, slopes - others, n=one.positives), apart)
    return estimate(value, limits, n=one.positives)


def checked(truth: Truth, scores: npt.NDArray[Any]) -> tuple[Truth, npt.NDArray[np.float64]]:
    """Give truth as bool and scores as float64, or say what is wrong with them.

    Decisions are made in float64: a threshold half-way between two float32 scores would otherwise be
    rounded onto one of them.

    Raises
    ------
    DataError
        If there is no patch, the shapes differ, or a score is not a finite number.
    """
    truth, scores = np.asarray(truth, bool), np.asarray(scores, np.float64)
    if truth.shape != scores.shape or not len(truth):
        raise DataError(f"truth has shape {truth.shape}, scores {scores.shape}", fix="give one score per true value")
    if not np.isfinite(scores).all():
        raise DataError("a score is not a finite number", fix="measure a model that gives probabilities")
    return truth, scores


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
    truth: Truth, scores: npt.NDArray[Any], *, thresholds: Sequence[float], names: Sequence[str]
) -> MultiLabelMetrics:
    """All numbers of a multi-label model.

    Precision, recall and subset accuracy have Wilson intervals, F1 of a class the indirect Wilson
    interval. The means over classes, and micro-F1, have the wider on each side of the delta method over
    patches (labels of one patch come together) and of their parts' own intervals (a class without an
    error may still have errors on more patches). The lower limit of the mean average precision is lowered by what
    each positive adds to it by counting itself.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N, K]`` bool; at least one patch and one label on one of them.
    scores : numpy.ndarray
        ``[N, K]`` probabilities.
    thresholds : sequence of float
        One per class; a patch has a label where ``score >= threshold``.
    names : sequence of str
        The K labels.

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
    present: list[int] = np.flatnonzero(support).tolist()
    rankings = [Ranking(truth[:, j], scores[:, j]) for j in range(k)]
    ranked = np.zeros((n, k))
    for j in present:
        ranked[:, j] = rankings[j].average_precision_slopes()
    involved = support + calls
    gains, costs = 2 * (truth & called), truth.astype(np.float64) + called
    by_label = ((gains - costs * (2 * hits / np.maximum(involved, 1))) / np.maximum(involved, 1))[:, present]
    per_class = {
        name: LabelMetrics(
            threshold=float(thresholds[j]),
            precision=proportion(int(hits[j]), int(calls[j])),
            recall=proportion(int(hits[j]), int(support[j])),
            f1=f1_estimate(int(hits[j]), int(support[j] + calls[j] - hits[j])),
            average_precision=average_precision_estimate(rankings[j], ranked[:, j]),
        )
        for j, name in enumerate(names)
    }
    shown = [per_class[names[j]] for j in present]
    precision = _mean([c.average_precision for c in shown], ranked[:, present].mean(axis=1), n=n)
    # All labels err in one direction: with few positives average precision is too high.
    excess = float(np.mean([rankings[j].average_precision_excess for j in present]))
    pooled = f1_estimate(int(hits.sum()), int((involved - hits).sum()))
    pooled_slopes = (gains.sum(axis=1) - pooled.value * costs.sum(axis=1)) / involved.sum()
    return MultiLabelMetrics(
        n=n,
        macro_f1=_macro_f1([c.f1 for c in shown], by_label.mean(axis=1), n=n),
        micro_f1=around(
            pooled.value,
            wider((pooled.low, pooled.high), delta_interval(pooled.value, pooled_slopes, scale="logit")),
            n=n,
        ),
        mean_average_precision=precision.model_copy(update={"low": max(0.0, precision.low - excess)}),
        subset_accuracy=proportion(int((truth == called).all(axis=1).sum()), n),
        per_class=per_class,
    )


def _mean(parts: list[Estimate], slopes: Floats, *, n: int) -> Estimate:
    """Plain mean of estimates of the same patches: the wider of the delta method and of the parts combined."""
    value = sum(e.value for e in parts) / len(parts)
    return around(value, wider(mean_interval(parts), delta_interval(value, slopes, scale="logit")), n=n)


def _macro_f1(parts: list[Estimate], slopes: Floats, *, n: int) -> Estimate:
    """Mean F1 with its interval, raised by what F1 is too low in classes of few patches: all err in one direction."""
    made = _mean(parts, slopes, n=n)
    shortfall = sum(f1_shortfall(part) for part in parts) / len(parts)
    return made.model_copy(update={"high": min(1.0, made.high + shortfall)})
