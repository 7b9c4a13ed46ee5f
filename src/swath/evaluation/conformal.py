"""Sets of classes that hold the truth as often as asked: split-conformal prediction.

The score of a patch is 1 minus the probability of its true class (least ambiguous sets: Sadinle, Lei and
Wasserman 2019, JASA 114, 223-234). A set holds every class whose score would not exceed a quantile of the scores
of patches set aside for it; the truth is then in the set with at least the wanted probability, whatever the
model, for patches that are drawn as those were (Angelopoulos and Bates 2021, arXiv:2107.07511, section 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.evaluation.intervals import percentile_interval, proportion, resample
from swath.model.record import Estimate

LEVELS = (0.90, 0.95)
_SLACK = 1e-9  # (n + 1) * 0.9 may come out a hair above a whole number


class Conformal(Settings):
    """Prediction sets of one coverage level, checked on labelled patches.

    Attributes
    ----------
    quantile : float
        A class is in the set where 1 minus its probability is at most this.
    coverage : Estimate
        Share of the sets that hold the truth.
    size : Estimate
        Mean number of classes in a set.
    empty, single : float
        Share of the sets without a class, and with exactly one.
    """

    quantile: float
    coverage: Estimate
    size: Estimate
    empty: float
    single: float


def conformal_quantile(scores: npt.NDArray[Any], *, coverage: float) -> float:
    """The ``ceil((n + 1) coverage)``-th smallest of n scores; 1, so that sets hold everything, where n is too small.

    Parameters
    ----------
    scores : numpy.ndarray
        ``[N]``, 0-1.
    coverage : float
        Wanted, between 0 and 1.
    """
    rank = math.ceil((len(scores) + 1) * coverage - _SLACK)
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])


def conformal_quantiles(
    probabilities: npt.NDArray[Any], truth: npt.NDArray[np.int64], *, levels: Sequence[float] = LEVELS
) -> dict[str, float]:
    """What a model file keeps: a quantile for each level of coverage, named ``0.90`` and so on.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``[N, K]`` of patches that took no part in training.
    truth : numpy.ndarray
        ``[N]`` int64.
    levels : sequence of float
        Wanted coverages.
    """
    scores = 1 - np.asarray(probabilities, np.float64)[np.arange(len(truth)), truth]
    return {f"{level:.2f}": conformal_quantile(scores, coverage=level) for level in levels}


def prediction_sets(probabilities: npt.NDArray[Any], quantile: float) -> npt.NDArray[np.bool_]:
    """Which classes ``[N, K]`` bool are in the set of each patch."""
    return np.asarray(1 - np.asarray(probabilities, np.float64) <= quantile)


def check_sets(
    probabilities: npt.NDArray[Any],
    truth: npt.NDArray[np.int64],
    quantiles: Mapping[str, float],
    *,
    seed: int = 0,
) -> dict[str, Conformal]:
    """How often the sets of a model file hold the truth, and how large they are.

    Coverage has a Wilson interval, the size a bootstrap interval.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``[N, K]``.
    truth : numpy.ndarray
        ``[N]`` int64; N at least 1.
    quantiles : mapping of str to float
        By level, as :func:`conformal_quantiles` gives them.
    seed : int
        Seed of the bootstrap.
    """
    found = {}
    for level, quantile in quantiles.items():
        sets = prediction_sets(probabilities, quantile)
        sizes = sets.sum(axis=1)
        counts = np.bincount(sizes, minlength=sets.shape[1] + 1)
        n, values = len(sizes), np.arange(len(counts))
        low, high = percentile_interval(resample(counts, seed=seed) @ values / n)
        found[level] = Conformal(
            quantile=quantile,
            coverage=proportion(int(sets[np.arange(n), truth].sum()), n),
            size=Estimate(value=float(counts @ values / n), low=low, high=high, n=n),
            empty=float(counts[0] / n),
            single=float(counts[1] / n),
        )
    return found
