"""Numbers of a binary model: how it ranks patches, and how its threshold decides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import f1_estimate, paired_interval, proportion, resample_patches
from swath.evaluation.ranking import Ranking, Truth, auroc_estimate, average_precision_estimate
from swath.model.record import Estimate


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


def measure_binary(
    truth: Truth, scores: npt.NDArray[Any], *, threshold: float, names: Sequence[str], seed: int = 0
) -> BinaryMetrics:
    """All numbers of a binary model.

    Accuracy, precision and recall have Wilson intervals, F1 the indirect Wilson interval, AUROC
    Newcombe's, average precision the wider of bootstrap and binomial; see
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
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    DataError
        If there is no patch, or not one finite score a patch.
    """
    truth, scores = checked(truth, scores)
    called = scores >= threshold
    hits, support = int((truth & called).sum()), int(truth.sum())
    ranking = Ranking(truth, scores)
    samples = np.concatenate([ranking.average_precision(w) for w in resample_patches(len(truth), seed=seed)])
    return BinaryMetrics(
        positive=names[1],
        threshold=threshold,
        positives=support,
        n=len(truth),
        average_precision=average_precision_estimate(ranking, samples),
        auroc=auroc_estimate(truth, scores),
        precision=proportion(hits, int(called.sum())),
        recall=proportion(hits, support),
        f1=f1_estimate(hits, int((truth | called).sum())),
        accuracy=proportion(int((truth == called).sum()), len(truth)),
    )


def paired_average_precision(
    truth: Truth, first: npt.NDArray[Any], second: npt.NDArray[Any], *, seed: int = 0
) -> Estimate:
    """Average precision of one set of scores minus that of another, on the same resampled patches.

    No threshold takes part, so that scores whose threshold was chosen and scores whose threshold was not are held
    against each other fairly.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` bool, at least one patch.
    first, second : numpy.ndarray
        ``[N]``, larger for more probable positives; finite.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Estimate
        Difference, -1 to 1, with a bootstrap percentile interval that has a width even where both rank alike; its
        ``n`` is the positives, of which there may be few. Without any it is 0 between -1 and 1.
    """
    one, two = Ranking(truth, first), Ranking(truth, second)
    if not one.positives:
        return Estimate(value=0.0, low=-1.0, high=1.0, n=0)
    value = float(one.average_precision()[0] - two.average_precision()[0])
    draws = resample_patches(len(truth), classes=2, seed=seed)
    leads = np.concatenate([one.average_precision(w) - two.average_precision(w) for w in draws])
    low, high = paired_interval(leads[np.isfinite(leads)], value, one.positives)
    return Estimate(value=value, low=low, high=high, n=one.positives)


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
        raise DataError(
            f"truth has shape {truth.shape}, scores {scores.shape}", fix="give one score a true value"
        )
    if not np.isfinite(scores).all():
        raise DataError("a score is not a finite number", fix="measure a model that gives probabilities")
    return truth, scores
