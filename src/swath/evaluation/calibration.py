"""Whether probabilities mean what they say: reliability, ECE, negative log-likelihood and Brier score."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import percentile_interval, proportion, resample_patches
from swath.model.record import Estimate

BINS = 15
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss

Floats = npt.NDArray[np.float64]


class Bin(Settings):
    """Patches whose stated probability lies above `low` and not above `high`.

    `stated` is their mean probability (the middle of an empty bin), `observed` the share that came true.
    """

    low: float
    high: float
    stated: float
    observed: Estimate


class Calibration(Settings):
    """How probabilities and outcomes agree.

    Attributes
    ----------
    ece : Estimate
        Expected calibration error, 0-1.
    nll : Estimate
        Mean negative logarithm of the probability of the truth, 0 or more, in nats.
    brier : Estimate
        Mean squared error of the probabilities: summed over the classes (0-2), or of the positive class
        alone for a binary task (0-1).
    bins : tuple of Bin
        The reliability diagram.
    """

    ece: Estimate
    nll: Estimate
    brier: Estimate
    bins: tuple[Bin, ...]


def measure_calibration(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any], *, binary: bool = False, seed: int = 0
) -> Calibration:
    """Hold probabilities against what was true.

    ECE is ``sum over bins of n_b / n |observed_b - stated_b|`` over 15 bins of equal width, closed above
    (Guo et al. 2017, ICML, section 2): of the most probable class and whether it was right, or for a
    binary task of the positive class and whether it was there. NLL and Brier score are scikit-learn's ``log_loss``
    and ``brier_score_loss``.

    Intervals are bootstrapped over patches. Chance makes every bin deviate a little, which adds to ECE, and
    resampling adds the same again; so its interval is the basic one, turned round the value (Davison and
    Hinkley 1997, section 5.2), and not below 0.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` int64 class numbers.
    probabilities : numpy.ndarray
        ``[N, K]``; rows add up to 1.
    binary : bool
        The last of two classes is the positive one.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    DataError
        If there is no patch, or the shapes do not fit.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise DataError(
            f"truth has shape {truth.shape}, probabilities {values.shape}", fix="give one row a patch"
        )
    if binary:
        stated, true = values[:, -1], (truth == values.shape[1] - 1).astype(np.float64)
        squared = (stated - true) ** 2
    else:
        stated, true = values.max(axis=1), (values.argmax(axis=1) == truth).astype(np.float64)
        squared = ((values - np.eye(values.shape[1])[truth]) ** 2).sum(axis=1)
    loss = -np.log(np.maximum(values[np.arange(len(truth)), truth], _SMALLEST)) + 0.0
    places = bin_places(stated)
    gaps = np.eye(BINS)[places] * (true - stated)[:, None]
    columns = np.concatenate([gaps, loss[:, None], squared[:, None]], axis=1)
    n = len(truth)
    drawn = np.concatenate([weights @ columns for weights in resample_patches(n, seed=seed)]) / n
    ece = calibration_error(true, stated)
    low, high = percentile_interval(np.abs(drawn[:, :BINS]).sum(axis=1))
    return Calibration(
        ece=Estimate(value=ece, low=max(0.0, 2 * ece - high), high=min(1.0, max(ece, 2 * ece - low)), n=n),
        nll=_mean(loss, drawn[:, BINS]),
        brier=_mean(squared, drawn[:, BINS + 1]),
        bins=tuple(_bin(number, stated[places == number], true[places == number]) for number in range(BINS)),
    )


def calibration_error(true: npt.NDArray[Any], stated: npt.NDArray[Any]) -> float:
    """ECE as in :func:`measure_calibration`.

    Parameters
    ----------
    true : numpy.ndarray
        ``[N]``, whether it happened: bool, or 0 and 1.
    stated : numpy.ndarray
        ``[N]``, its probability.
    """
    values = np.asarray(stated, np.float64)
    gaps = np.bincount(bin_places(values), weights=true - values, minlength=BINS)
    return float(np.abs(gaps).sum() / len(values))


def bin_places(stated: Floats) -> npt.NDArray[np.int64]:
    """Number of the bin ``[N]`` of each probability: bin i holds (i / 15, (i + 1) / 15], and bin 0 also 0."""
    return np.clip(np.ceil(stated * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _mean(values: Floats, drawn: Floats) -> Estimate:
    low, high = percentile_interval(drawn)
    return Estimate(value=float(values.mean()), low=low, high=high, n=len(values))


def _bin(number: int, stated: Floats, true: Floats) -> Bin:
    middle = (number + 0.5) / BINS
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        stated=float(stated.mean()) if len(stated) else middle,
        observed=proportion(int(true.sum()), len(true)),
    )
