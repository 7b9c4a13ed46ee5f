"""What a single prediction is worth: calibration, accuracy of the most confident, and conformal prediction sets.

:func:`measure_reliability` measures all three: ECE, negative log-likelihood and Brier score; risk and coverage; and
the coverage and size of the sets that a model file's quantiles give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import (
    Floats,
    Z,
    around,
    delta_interval,
    mean_interval,
    mean_slopes,
    proportion,
    wider,
    wilson,
)
from swath.model import Record
from swath.model.record import Estimate, predicted_class
from swath.pages.html import Cell, Table

BINS = 15
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss
KEPT = (0.80, 0.90, 0.95, 0.99)
LEVELS = (0.90, 0.95)
_AS_STATED = 4.0  # outcomes added to each bin, about 1.96 squared, as in the interval of Agresti and Coull
_MORE_WRONG = 2  # answers that are added to the wrong ones where their loss may have been small by chance
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
        Expected calibration error, 0-1, corrected for what chance adds; see :func:`expected_calibration_error`.
    ece_uncorrected : float
        The same as it is usually published.
    ece_by_chance : float
        What the uncorrected one would be in the mean if the model were perfectly calibrated.
    nll : Estimate
        Mean negative logarithm of the probability of the truth, 0 or more, in nats.
    brier : Estimate
        Mean squared error of the probabilities: summed over the classes (0-2), or of the positive class
        alone for a binary task (0-1).
    bins : tuple of Bin
        The reliability diagram.
    """

    ece: Estimate
    ece_uncorrected: float
    ece_by_chance: float
    nll: Estimate
    brier: Estimate
    bins: tuple[Bin, ...]


def measure_calibration(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any], *, binary: bool = False
) -> Calibration:
    """Compare probabilities with outcomes.

    ECE (:func:`expected_calibration_error`) is of the most probable class and whether it was right, or for a binary
    task of the positive class and whether it was there. NLL and Brier score are scikit-learn's ``log_loss`` and
    ``brier_score_loss``; their intervals are the wider of the delta method on a log scale and of what Wilson's limits
    of the accuracy leave open, as one wrong answer costs far more than a right one.

    Parameters
    ----------
    truth : numpy.ndarray
        ``[N]`` int64 class numbers.
    probabilities : numpy.ndarray
        ``[N, K]``; rows add up to 1.
    binary : bool
        The last of two classes is the positive one.

    Raises
    ------
    DataError
        If there is no patch, or the shapes do not fit.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise DataError(f"truth has shape {truth.shape}, probabilities {values.shape}", fix="give one row per patch")
    losses = -np.log(np.maximum(values, _SMALLEST)) + 0.0
    if binary:
        stated, true = values[:, -1], truth == values.shape[1] - 1
        squares, largest = np.stack([values[:, -1] ** 2, (1 - values[:, -1]) ** 2], axis=1), 1.0
    else:
        stated, true = values.max(axis=1), values.argmax(axis=1) == truth
        squares, largest = 1 - 2 * values + (values**2).sum(axis=1, keepdims=True), 2.0
    places = bin_places(stated)
    return Calibration(
        **expected_calibration_error(true, stated)._asdict(),
        nll=_mean_loss(losses, truth, values, largest=-math.log(_SMALLEST)),
        brier=_mean_loss(squares, truth, values, largest=largest),
        bins=tuple(_bin(number, stated[places == number], true[places == number]) for number in range(BINS)),
    )


def _mean_loss(losses: Floats, truth: npt.NDArray[np.int64], probabilities: Floats, *, largest: float) -> Estimate:
    """Mean loss, from the loss ``[N, K]`` that each patch has if it is of each class."""
    n = len(truth)
    rows = np.arange(n)
    said = probabilities.argmax(axis=1)
    own, right = losses[rows, truth], said == truth
    value, hits = float(own.mean()), int(right.sum())
    # The loss that the model itself expects of a wrong answer, at half its confidence that there are so few.
    others = np.maximum(probabilities, _SMALLEST)
    others[rows, said] = 0.0
    left = others.sum(axis=1)
    expected = float(np.average((others * losses).sum(axis=1) / left, weights=np.sqrt(left)))
    if_right = float(own[right].mean() if hits else losses[rows, said].mean())
    if_wrong = float(own[~right].mean() if hits < n else expected)
    # A few wrong answers may by chance have been cheap: two more, of the expected loss, are added.
    dear = max(if_wrong, (float(own[~right].sum()) + _MORE_WRONG * expected) / (n - hits + _MORE_WRONG))
    low, high = wilson(hits, n)
    ends = (
        min(share * if_right + (1 - share) * if_wrong for share in (low, high)),
        max(share * if_right + (1 - share) * dear for share in (low, high)),
    )
    within = (0.0, largest)
    limits = delta_interval(value, mean_slopes(own), scale="log", within=within)
    return around(value, wider(limits, (ends[0], min(ends[1], largest))), n=n)


class CalibrationError(NamedTuple):
    """ECE in the three forms of :class:`Calibration`."""

    ece: Estimate
    ece_uncorrected: float
    ece_by_chance: float


def expected_calibration_error(true: npt.NDArray[Any], stated: npt.NDArray[Any]) -> CalibrationError:
    """Expected calibration error, corrected for what chance adds, with its interval.

    What is estimated is the error of the population in the same bins: the sum over 15 bins of equal width, closed
    above, of the share of patches times ``|share that comes true - mean stated|`` (Guo et al. 2017, ICML, section 2).
    On a sample chance makes every bin deviate and nothing cancels in a sum of absolute values, so the plain sum is too
    large: by 0.06 for a perfectly calibrated model of ten classes on 200 patches.

    *Corrected* means cross-fitted: the sign of each bin's gap is taken from one half of the patches, its size from the
    other, in the mean over all ways to halve them. For a bin whose gap is ``z`` of its standard errors ``s`` that is
    ``s (z (2 P(z) - 1) - 2 f(z))``, P and f being the normal distribution and its density. Its mean is 0 for a
    calibrated model and never above the true error; below 0 it is cut off.

    *The lower limit* is 1.96 standard errors of the plain sum below that. *The upper limit* is the largest error
    at which so small a plain sum, or a smaller one, has a probability of 2.5 %, with the error spread over the bins in
    proportion to ``s``, by which it shows least; and no smaller than what Wilson's limits of the share that comes true
    leave open. The standard error of a bin takes its share of outcomes as if four more had gone as stated.

    Parameters
    ----------
    true : numpy.ndarray
        ``[N]``, whether it happened: bool, or 0 and 1; N at least 1.
    stated : numpy.ndarray
        ``[N]``, its probability.
    """
    outcomes, values = np.asarray(true, np.float64), np.asarray(stated, np.float64)
    n, places = len(values), bin_places(values)
    counts = np.bincount(places, minlength=BINS)
    held = counts > 0
    counts = counts[held]
    said, came, spread = (
        np.bincount(places, weights=weights, minlength=BINS)[held]
        for weights in (values, outcomes, values * (1 - values))
    )
    gaps = np.abs(came - said) / n
    share = (came + _AS_STATED * said / counts) / (counts + _AS_STATED)
    errors = np.sqrt(counts * share * (1 - share) + (came - said) ** 2 / counts) / n
    plain, total = float(gaps.sum()), float(errors.sum())
    corrected = math.fsum(s * _folded(gap / s, -1) for gap, s in zip(gaps.tolist(), errors.tolist(), strict=True) if s)
    value = max(0.0, corrected)
    variance = float((errors**2).sum()) - value**2 / n
    low = max(0.0, corrected - Z * math.sqrt(max(0.0, variance)))
    accuracy, mean = wilson(float(outcomes.sum()), n), float(values.mean())
    high = max(_largest_error(plain, total, variance), accuracy[1] - mean, mean - accuracy[0])
    return CalibrationError(
        ece=around(value, (low, min(1.0, high)), n=n),
        ece_uncorrected=plain,
        ece_by_chance=float(np.sqrt(spread).sum()) / n * math.sqrt(2 / math.pi),
    )


def _folded(z: float, sign: int) -> float:
    """``z (2 P(z) - 1) + sign 2 f(z)``: with a plus the mean of ``|z + normal|``."""
    return z * math.erf(z / math.sqrt(2)) + sign * 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _largest_error(plain: float, total: float, variance: float) -> float:
    """The error at which a plain sum of `plain` is at the lower end of what chance allows, by halving."""

    def lower_end(error: float) -> float:
        z = error / total
        mean = _folded(z, 1)
        return total * mean - Z * math.sqrt(max(0.0, variance * (1 + z * z - mean * mean)))

    if total == 0 or lower_end(0.0) >= plain:
        return plain if total == 0 else 0.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if lower_end(middle) < plain:
            low = middle
        else:
            high = middle
    return high


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


def measure_selective(right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> Selective:
    """Measure how well confidence sorts right answers from wrong ones.

    AURC has the wider of the delta method on a logit scale and of Wilson's limits of the error rate, with which it
    grows; where all answers are right, it ends at the upper of them. The accuracies have Wilson intervals, as if the
    number of answers kept had been fixed and not the least confidence.

    Parameters
    ----------
    right : numpy.ndarray
        ``[N]`` bool, N at least 1.
    confidence : numpy.ndarray
        ``[N]``.
    """
    order, wrong = _sorted(right, confidence)
    n = len(order)
    _, risk = risk_coverage(right, confidence)
    value, errors = float(risk.mean()), float(wrong.sum())
    kept = np.arange(1.0, n + 1)
    # A patch changes the risk at its own place and at every later one.
    later = np.stack([1 / kept, risk / kept])[:, ::-1].cumsum(axis=1)[:, ::-1]
    slopes = (risk - value + wrong * later[0] - later[1]) / n
    low, high = wilson(errors, n)
    if errors <= n / 2:
        scale = value * n / errors if errors else 1.0
        counted = (low * scale, min(1.0, high * scale))
    else:  # right answers are the rare ones: how many, and how far they lower the area; all of them first at best
        rare = 1 - low
        scale = (1 - value) * n / (n - errors) if errors < n else 1 - math.log(rare)
        counted = (max(0.0, 1 - rare * scale), 1 - (1 - high) * scale)
    few = 5 + round(min(errors, n - errors))  # it rests on the rarer kind of answer
    limits = wider(counted, delta_interval(value, slopes, n=min(n, few), scale="logit"))
    accuracy = {}
    for share in KEPT:
        k = max(1, round(share * n))
        accuracy[f"{share:.2f}"] = proportion(round(k - float(wrong[:k].sum())), k)
    return Selective(aurc=around(value, limits, n=n), accuracy=accuracy)


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
    probabilities: npt.NDArray[Any], truth: npt.NDArray[np.int64], quantiles: Mapping[str, float]
) -> dict[str, Conformal]:
    """How often the sets of a model file contain the true class, and how large they are.

    Coverage has a Wilson interval, the size the wider of Student's and of its shares' own combined.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``[N, K]``.
    truth : numpy.ndarray
        ``[N]`` int64; N at least 1.
    quantiles : mapping of str to float
        By level, as :func:`conformal_quantiles` gives them.
    """
    found = {}
    for level, quantile in quantiles.items():
        sets = prediction_sets(probabilities, quantile)
        sizes = sets.sum(axis=1)
        n, classes = sets.shape
        found[level] = Conformal(
            quantile=quantile,
            coverage=proportion(int(sets[np.arange(n), truth].sum()), n),
            size=_mean_size(sizes.astype(np.float64), classes=classes),
            empty=float((sizes == 0).mean()),
            single=float((sizes == 1).mean()),
        )
    return found


def _mean_size(sizes: Floats, *, classes: int) -> Estimate:
    value, n = float(sizes.mean()), len(sizes)
    # The sum of the shares of sets with at least one class, two, three and so on: large sets are rare, or never drawn.
    parts = mean_interval([proportion(int((sizes >= k).sum()), n) for k in range(1, classes + 1)])
    limits = delta_interval(value, mean_slopes(sizes), within=(0.0, float(classes)))
    return around(value, wider(limits, (classes * parts[0], classes * parts[1])), n=n)


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

    @property
    def broken(self) -> dict[str, Conformal]:
        """Sets that contain the true class clearly less often than wanted, the furthest below first."""
        below = {level: sets for level, sets in self.conformal.items() if sets.coverage.high < float(level)}
        return dict(sorted(below.items(), key=lambda item: item[1].coverage.value - float(item[0])))

    def tables(self) -> list[Table]:
        """Tables for text and page."""
        calibration = self.calibration
        errors = {
            "calibration error (ECE)": calibration.ece,
            "negative log-likelihood": calibration.nll,
            "Brier score": calibration.brier,
            "risk-coverage area (AURC)": self.selective.aurc,
        }
        sets: list[tuple[Cell, ...]] = [
            (
                level_percent(level),
                found.coverage,
                f"{found.size.value:.3f} ({found.size.low:.3f} to {found.size.high:.3f})",
                f"{100 * found.single:.1f} %",
                f"{100 * found.empty:.1f} %",
            )
            for level, found in self.conformal.items()
        ]
        rows: list[tuple[Cell, ...]] = [
            (name, f"{e.value:.4f}", f"{e.low:.4f}\u2013{e.high:.4f}") for name, e in errors.items()
        ]
        plain = f"{calibration.ece_uncorrected:.4f}"
        rows.insert(1, ("ECE as binned", plain, f"by chance alone {calibration.ece_by_chance:.4f}"))
        kept: list[tuple[Cell, ...]] = [
            (level_percent(share), value) for share, value in self.selective.accuracy.items()
        ]
        names = ("prediction sets", "contain the true class", "classes per set", "one class", "empty")
        return [
            Table(
                ("calibration", "value", "95 % interval"),
                rows,
                "Probabilities and outcomes; small is good. ECE is what the binned sum has beyond chance",
            ),
            *(
                [Table(names, sets, "Conformal sets, from validation patches; empty: no class is probable enough")]
                if sets
                else []
            ),
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


def level_percent(share: str) -> str:
    """Write a share that is kept as text, such as ``"0.90"``, in percent: ``90 %``."""
    return f"{100 * float(share):g} %"
