"""What a single prediction is worth: calibration, accuracy of the most confident, and conformal prediction sets.

:func:`measure_reliability` measures all three: ECE, negative log-likelihood and Brier score; risk and coverage; and
the coverage and size of the sets that a model file's quantiles give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import estimate, percentile_interval, proportion, resample, resample_patches
from swath.model import Record
from swath.model.record import Estimate, predicted_class
from swath.pages.html import Cell, Table

BINS = 15
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss
Floats = npt.NDArray[np.float64]
KEPT = (0.80, 0.90, 0.95, 0.99)
LEVELS = (0.90, 0.95)
_SLACK = 1e-9  # (n + 1) * 0.9 may come out a hair above a whole number


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
    """Compare probabilities with outcomes.

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
        raise DataError(f"truth has shape {truth.shape}, probabilities {values.shape}", fix="give one row per patch")
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
        nll=estimate(float(loss.mean()), percentile_interval(drawn[:, BINS]), n=n),
        brier=estimate(float(squared.mean()), percentile_interval(drawn[:, BINS + 1]), n=n),
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


def _bin(number: int, stated: Floats, true: Floats) -> Bin:
    middle = (number + 0.5) / BINS
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        stated=float(stated.mean()) if len(stated) else middle,
        observed=proportion(int(true.sum()), len(true)),
    )


class Selective(Settings):
    """Accuracy among the most confident predictions.

    Attributes
    ----------
    aurc : Estimate
        Area under the risk-coverage curve: the mean share of wrong answers over all coverages. Small is good;
        an order by chance gives the error rate.
    accuracy : dict of str to Estimate
        By the share of answers kept, most confident first, such as ``0.90``.
    """

    aurc: Estimate
    accuracy: dict[str, Estimate]


def risk_coverage(right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Share of wrong answers among the k most confident, for every k (Geifman and El-Yaniv 2017, NeurIPS).

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


def measure_selective(right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any], *, seed: int = 0) -> Selective:
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


def _sorted(right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], Floats]:
    """Places from the most confident answer on, and how wrong each is: in a run of equal ones, their mean."""
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    ranked = np.asarray(confidence, np.float64)[order]
    wrong = 1.0 - np.asarray(right, np.float64)[order]
    run = np.concatenate([[0], np.cumsum(np.diff(ranked) != 0)])
    means = np.bincount(run, weights=wrong) / np.bincount(run)
    return order, means[run]


class Conformal(Settings):
    """Prediction sets of one coverage level, checked on labeled patches.

    Attributes
    ----------
    quantile : float
        A class is in the set where 1 minus its probability is at most this.
    coverage : Estimate
        Share of the sets that contain the true class.
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
    probabilities: npt.NDArray[Any], truth: npt.NDArray[np.int64], quantiles: Mapping[str, float], *, seed: int = 0
) -> dict[str, Conformal]:
    """How often the sets of a model file contain the true class, and how large they are.

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
        found[level] = Conformal(
            quantile=quantile,
            coverage=proportion(int(sets[np.arange(n), truth].sum()), n),
            size=estimate(
                float(counts @ values / n), percentile_interval(resample(counts, seed=seed) @ values / n), n=n
            ),
            empty=float(counts[0] / n),
            single=float(counts[1] / n),
        )
    return found


class Reliability(Settings):
    """What a single prediction is worth, measured on labeled patches.

    Attributes
    ----------
    calibration : Calibration
        Whether probabilities agree with outcomes.
    conformal : dict of str to Conformal
        By wanted coverage, the sets that the model file's quantiles give; empty where it has none.
    selective : Selective
        What leaving out uncertain predictions gains.
    """

    calibration: Calibration
    conformal: dict[str, Conformal]
    selective: Selective

    def tables(self) -> list[Table]:
        """Tables for text and page."""
        errors = {
            "calibration error (ECE)": self.calibration.ece,
            "negative log-likelihood": self.calibration.nll,
            "Brier score": self.calibration.brier,
            "risk-coverage area (AURC)": self.selective.aurc,
        }
        sets: list[tuple[Cell, ...]] = [
            (
                _percent(level),
                found.coverage,
                f"{found.size.value:.3f} ({found.size.low:.3f} to {found.size.high:.3f})",
                f"{100 * found.single:.1f} %",
                f"{100 * found.empty:.1f} %",
            )
            for level, found in self.conformal.items()
        ]
        kept: list[tuple[Cell, ...]] = [(_percent(share), value) for share, value in self.selective.accuracy.items()]
        names = ("prediction sets", "contain the true class", "classes per set", "one class", "empty")
        return [
            Table(
                ("calibration", "value", "95 % interval"),
                [(name, f"{e.value:.4f}", f"{e.low:.4f}\u2013{e.high:.4f}") for name, e in errors.items()],
                "Probabilities and outcomes; small is good",
            ),
            *([Table(names, sets, "Conformal sets, quantiles from validation patches")] if sets else []),
            Table(("most confident", "accuracy"), kept, "Accuracy of the most confident predictions"),
        ]


def measure_reliability(record: Record, truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> Reliability:
    """Measure a model that gives one label an image.

    Parameters
    ----------
    record : Record
        Task, thresholds and conformal quantiles.
    truth : numpy.ndarray
        ``[N]`` int64 class numbers.
    probabilities : numpy.ndarray
        ``[N, K]``.
    """
    said = predicted_class(record, probabilities)
    confidence = probabilities[np.arange(len(said)), said]
    return Reliability(
        calibration=measure_calibration(truth, probabilities, binary=record.task == "binary"),
        conformal=check_sets(probabilities, truth, record.conformal),
        selective=measure_selective(said == truth, confidence),
    )


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"
