"""How well scores put positives before negatives: curves, average precision, AUROC, and a threshold.

Definitions are scikit-learn's: equal scores are one step of a curve, precision without a call is 1 at the
curve's end, average precision is ``sum over n of (R[n] - R[n-1]) P[n]`` without interpolation, and AUROC
counts a tie between a positive and a negative as half. Where there is nothing to rank (no positive, or for
AUROC no negative) the value is 0 between 0 and 1 with ``n`` 0, as everywhere in this room.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation.intervals import Floats, Z, around, delta_interval, wider, wilson
from swath.model.record import Estimate

Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """A curve over all thresholds.

    Attributes
    ----------
    x, y : numpy.ndarray
        ``[M]`` float64: recall and precision, or false and true positive rate.
    thresholds : numpy.ndarray
        ``[M]`` float64: a score of at least this much is a positive; infinity where none is.
    """

    x: Floats
    y: Floats
    thresholds: Floats


class Ranking:
    """The patches of one class in order of falling score.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool.
    scores : numpy.ndarray
        ``[N]``, larger for more probable positives; finite.
    """

    def __init__(self, truth: Truth, scores: npt.NDArray[Any]) -> None:
        truth, scores = np.asarray(truth, bool), np.asarray(scores, np.float64)
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.truth = truth[self.order]
        # Last place of each run of equal scores: a threshold takes all of them or none.
        self.ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.scores = ranked[self.ends]
        self.hits = np.cumsum(self.truth)[self.ends].astype(np.float64)
        self.predicted = (self.ends + 1).astype(np.float64)

    @property
    def positives(self) -> int:
        """Patches that are of the class."""
        return int(self.hits[-1])

    @property
    def negatives(self) -> int:
        """Patches that are not."""
        return len(self.truth) - self.positives

    @property
    def average_precision(self) -> float:
        """Area under the steps of the precision-recall curve; there must be a positive."""
        gained = np.diff(self.hits, prepend=0.0)
        return float((gained * self.hits / self.predicted).sum() / self.positives)

    @property
    def average_precision_excess(self) -> float:
        """How much of the average precision comes from each positive's counting itself; of few ones it is much."""
        gained, precision = np.diff(self.hits, prepend=0.0), self.hits / self.predicted
        without = np.full_like(precision, self.average_precision)  # of the first place nothing is left
        np.divide(self.hits - 1, self.predicted - 1, out=without, where=self.predicted > 1)
        return max(0.0, self.average_precision - float((gained * without).sum() / self.positives))

    def average_precision_slopes(self) -> Floats:
        """Derivative ``[N]`` of the average precision by the weight of each patch, in the order given."""
        gained, precision = np.diff(self.hits, prepend=0.0), self.hits / self.predicted
        # A patch changes the precision of its own run of equal scores and of every later one.
        per_hit = np.cumsum((gained / self.predicted)[::-1])[::-1]
        per_call = np.cumsum((gained * precision / self.predicted)[::-1])[::-1]
        run = np.searchsorted(self.ends, np.arange(len(self.order)))
        slopes = np.empty(len(self.order))
        slopes[self.order] = (
            self.truth * (precision + per_hit - self.average_precision)[run] - per_call[run]
        ) / self.positives
        return slopes


def precision_recall_curve(truth: Truth, scores: npt.NDArray[Any]) -> Curve:
    """Recall (x) and precision (y), from the highest threshold down.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one patch.
    scores : numpy.ndarray
        ``[N]``.

    Returns
    -------
    Curve
        Its first point, at an infinite threshold, has recall 0 and precision 1. Recall is 1 everywhere
        where there is no positive.
    """
    ranking = Ranking(truth, scores)
    recall = ranking.hits / ranking.positives if ranking.positives else np.ones_like(ranking.hits)
    return _curve(ranking, recall, ranking.hits / ranking.predicted, first=1.0)


def roc_curve(truth: Truth, scores: npt.NDArray[Any]) -> Curve:
    """False (x) and true positive rate (y), from the highest threshold down.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one positive and one negative.
    scores : numpy.ndarray
        ``[N]``.

    Returns
    -------
    Curve
        Every point, also those on a straight line between two others; the first is (0, 0).
    """
    ranking = Ranking(truth, scores)
    false_positive = (ranking.predicted - ranking.hits) / max(ranking.negatives, 1)
    return _curve(ranking, false_positive, ranking.hits / max(ranking.positives, 1), first=0.0)


def _curve(ranking: Ranking, x: Floats, y: Floats, *, first: float) -> Curve:
    """Put the point ``(0, first)`` of an infinite threshold before the others."""
    return Curve(np.insert(x, 0, 0.0), np.insert(y, 0, first), np.insert(ranking.scores, 0, np.inf))


def average_precision(truth: Truth, scores: npt.NDArray[Any]) -> float:
    """Area under the steps of the precision-recall curve; 0 where there is no positive.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one patch.
    scores : numpy.ndarray
        ``[N]``.
    """
    ranking = Ranking(truth, scores)
    return ranking.average_precision if ranking.positives else 0.0


def auroc(truth: Truth, scores: npt.NDArray[Any]) -> float:
    """Probability that a positive scores above a negative, ties counted half; 0 where one of them lacks.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one patch.
    scores : numpy.ndarray
        ``[N]``.
    """
    ranking = Ranking(truth, scores)
    if not ranking.positives or not ranking.negatives:
        return 0.0
    # In whole numbers, so that a perfect ranking is exactly 1.
    wrong = np.diff(ranking.predicted - ranking.hits, prepend=0.0)
    twice = np.sum(wrong * (ranking.hits + np.insert(ranking.hits[:-1], 0, 0.0)))
    return float(twice / (2 * ranking.positives * ranking.negatives))


def auroc_estimate(truth: Truth, scores: npt.NDArray[Any]) -> Estimate:
    """AUROC with a score-type interval; its ``n`` is the number of patches.

    The limits are the areas A with ``|value - A| = 1.96 sqrt(V(A))``, where V is Hanley and McNeil's
    variance with both group sizes replaced by their mean inside it (method 5 of Newcombe 2006, Stat. Med.
    25, 559-573). Unlike the delta method it keeps a width where positives and negatives do not overlap.
    """
    positives = int(np.count_nonzero(truth))
    negatives = len(truth) - positives
    if not positives or not negatives:
        return Estimate(value=0.0, low=0.0, high=1.0, n=0)
    value = auroc(truth, scores)
    half = (positives + negatives) / 2

    def reach(area: float) -> float:
        inner = 1 + (half - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        return Z * math.sqrt(area * (1 - area) * inner / (positives * negatives))

    low = 0.0 if value == 0 else _root(lambda a: value - a - reach(a), 0.0, value)
    high = 1.0 if value == 1 else _root(lambda a: a - value - reach(a), 1.0, value)
    return Estimate(value=value, low=low, high=high, n=len(truth))


def average_precision_estimate(ranking: Ranking, slopes: Floats) -> Estimate:
    """Average precision with the wider, on each side, of two intervals; its ``n`` is the positives.

    Parameters
    ----------
    ranking : Ranking
        Of the patches.
    slopes : numpy.ndarray
        ``[N]``, of :meth:`Ranking.average_precision_slopes`; unused without a positive.

    Notes
    -----
    The delta method on the logit scale follows the data but has no width where the ranking is perfect. Taking the
    value as a proportion of the positives (the binomial interval of Boyd, Eng and Page 2013, ECML PKDD,
    451-466, here with Wilson's limits) knows how few they are.
    """
    if not ranking.positives:
        return Estimate(value=0.0, low=0.0, high=1.0, n=0)
    value, positives = ranking.average_precision, ranking.positives
    delta = delta_interval(value, slopes, n=positives, scale="logit")
    return around(value, wider(wilson(value * positives, positives), delta), n=positives)


def best_threshold(truth: Truth, scores: npt.NDArray[Any]) -> float:
    """The threshold on probabilities at which F1 of the positives is largest. Never for test patches.

    A patch is called positive where its score is at least the threshold. The threshold lies half-way
    between two neighboring scores (or between 0 and the lowest), so that a small change of a score does
    not change its side; of equally good ones it is the nearest to 0.5.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, of the validation patches.
    scores : numpy.ndarray
        ``[N]`` probabilities, 0-1.

    Returns
    -------
    float
        Above 0 and below 1; 0.5 where no patch is positive, as nothing is known then.
    """
    if not np.any(truth):
        return 0.5
    ranking = Ranking(truth, scores)
    below = np.append(ranking.scores[1:], 0.0)
    thresholds = (ranking.scores + below) / 2
    f1 = 2 * ranking.hits / (ranking.predicted + ranking.positives)
    allowed = (thresholds > below) & (thresholds < 1)  # a lowest score of 0 leaves no room beneath it
    if not allowed.any():
        return 0.5
    best = allowed & (f1 >= f1[allowed].max() - 1e-12)
    candidates = thresholds[best]
    return float(candidates[np.argmin(np.abs(candidates - 0.5))])


def _root(function: Callable[[float], float], outer: float, inner: float) -> float:
    """Where `function` turns from positive (at `outer`) to not positive (at `inner`), by halving."""
    for _ in range(60):
        middle = (outer + inner) / 2
        if function(middle) > 0:
            outer = middle
        else:
            inner = middle
    return (outer + inner) / 2
