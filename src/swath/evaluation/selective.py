"""What is gained by leaving out the answers a model is least sure of: the risk-coverage curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.evaluation.intervals import percentile_interval, proportion, resample_patches
from swath.model.record import Estimate

KEPT = (0.80, 0.90, 0.95, 0.99)

Floats = npt.NDArray[np.float64]


class Selective(Settings):
    """Accuracy among the surest answers.

    Attributes
    ----------
    aurc : Estimate
        Area under the risk-coverage curve: the mean share of wrong answers over all coverages. Small is good;
        an order by chance gives the error rate.
    accuracy : dict of str to Estimate
        By the share of answers kept, surest first, such as ``0.90``.
    """

    aurc: Estimate
    accuracy: dict[str, Estimate]


def risk_coverage(right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Share of wrong answers among the k surest, for every k (Geifman and El-Yaniv 2017, NeurIPS).

    Answers that are equally sure are taken in the mean of all their orders.

    Parameters
    ----------
    right : numpy.ndarray
        ``[N]`` bool.
    confidence : numpy.ndarray
        ``[N]``.

    Returns
    -------
    tuple of numpy.ndarray
        Coverage k / N and risk, both ``[N]`` float64.
    """
    order, wrong = _sorted(right, confidence)
    kept = np.arange(1, len(order) + 1)
    return kept / len(order), np.cumsum(wrong) / kept


def measure_selective(
    right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any], *, seed: int = 0
) -> Selective:
    """Measure how well confidence sorts right answers from wrong ones.

    AURC has a bootstrap interval; where all answers are right, it ends at Wilson's limit of the error rate. The
    accuracies have Wilson intervals, as if the number of answers kept had been fixed and not the least confidence.

    Parameters
    ----------
    right : numpy.ndarray
        ``[N]`` bool, N at least 1.
    confidence : numpy.ndarray
        ``[N]``.
    seed : int
        Seed of the bootstrap.
    """
    order, wrong = _sorted(right, confidence)
    n = len(order)
    _, risk = risk_coverage(right, confidence)
    drawn = []
    for weights in resample_patches(n, seed=seed):
        ranked = weights[:, order]
        kept = np.maximum(np.cumsum(ranked, axis=1), 1.0)
        drawn.append((ranked * np.cumsum(ranked * wrong, axis=1) / kept).sum(axis=1) / n)
    low, high = percentile_interval(np.concatenate(drawn))
    value = float(risk.mean())
    if not wrong.any():  # every draw is right as well, which more patches need not be
        high = 1 - proportion(n, n).low
    accuracy = {}
    for share in KEPT:
        k = max(1, round(share * n))
        accuracy[f"{share:.2f}"] = proportion(round(k - float(wrong[:k].sum())), k)
    return Selective(aurc=Estimate(value=value, low=low, high=high, n=n), accuracy=accuracy)


def _sorted(
    right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], Floats]:
    """Places from the surest answer on, and how wrong each is: in a run of equal ones, their mean."""
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    ranked = np.asarray(confidence, np.float64)[order]
    wrong = 1.0 - np.asarray(right, np.float64)[order]
    run = np.concatenate([[0], np.cumsum(np.diff(ranked) != 0)])
    means = np.bincount(run, weights=wrong) / np.bincount(run)
    return order, means[run]
