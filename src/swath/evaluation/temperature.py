"""Temperature scaling (Guo et al. 2017), and for sigmoids an offset with it, fitted on patches not learned from.

As in Platt (1999), the true class counts for ``(N + 1) / (N + 2)`` instead of one: otherwise a network
without an error on a small validation split would get certainty in everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from swath.model.record import Task

_LOW, _HIGH = 0.05, 20.0
_TURNS = 6  # of offset and temperature
_REFERENCE = (5**0.5 - 1) / 2
Logits = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float32]


def mean_nll(logits: Logits, labels: npt.NDArray[np.int64], temperature: float, *, smoothing: float = 0.0) -> float:
    """Mean negative log-likelihood of softmax(logits / temperature).

    `smoothing` is the share of each label that is spread evenly over the other classes.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(axis=1))
    right = scaled[np.arange(len(labels)), labels]
    others = (scaled.sum(axis=1) - right) / (scaled.shape[1] - 1)
    return float((log_sum - (1 - smoothing) * right - smoothing * others).mean())


def mean_binary_nll(logits: Logits, shares: npt.NDArray[np.floating], temperature: float) -> float:
    """Mean negative log-likelihood of sigmoid(logits / temperature), for shares of any shape between 0 and 1."""
    scaled = np.asarray(logits, np.float64) / temperature
    return float((np.logaddexp(0, scaled) - shares * scaled).mean())


def fit_temperature(logits: Logits, labels: npt.NDArray[np.int64]) -> float:
    """The temperature of a softmax that minimizes the likelihood loss.

    Parameters
    ----------
    logits : numpy.ndarray
        ``[N, K]`` of the validation split.
    labels : numpy.ndarray
        ``[N]``.

    Returns
    -------
    float
        Between 0.05 and 20.
    """
    smoothing = 1 / (len(labels) + 2)
    return _least(lambda temperature: mean_nll(logits, labels, temperature, smoothing=smoothing))


def fit_binary_temperature(logits: Logits, targets: npt.NDArray[np.floating]) -> float:
    """The temperature of sigmoids that minimizes the likelihood loss.

    Parameters
    ----------
    logits : numpy.ndarray
        ``[N, L]`` of the validation split.
    targets : numpy.ndarray
        ``[N, L]``, 0 or 1.

    Returns
    -------
    float
        Between 0.05 and 20.
    """
    shares = _shares(targets)
    return _least(lambda temperature: mean_binary_nll(logits, shares, temperature))


def fit_offsets(logits: Logits, targets: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """What to add to each logit for its mean probability, at the temperature then fitted, to be the share of positives.

    A weight on positives, or balanced sampling, moves the odds that a network learns; a temperature alone cannot
    move them back. Together the two are the line of Platt (1999).

    Parameters
    ----------
    logits, targets : numpy.ndarray
        As for :func:`fit_binary_temperature`.

    Returns
    -------
    numpy.ndarray
        ``[L]``.
    """
    wanted, temperature = _shares(targets).mean(axis=0), 1.0
    offsets = np.zeros(logits.shape[1])
    for _ in range(_TURNS):
        offsets = _centered(logits, wanted, temperature)
        temperature = fit_binary_temperature(logits + offsets, targets)
    return offsets


def _centered(logits: Logits, wanted: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """The offset of each logit at which the mean of sigmoid((logits + offset) / temperature) is `wanted`."""
    most = np.abs(logits).max() + 50 * temperature
    low, high = np.full(len(wanted), -most), np.full(len(wanted), most)
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.exp(-np.logaddexp(0, -(logits + middle) / temperature)).mean(axis=0)
        low, high = np.where(mean < wanted, middle, low), np.where(mean < wanted, high, middle)
    return np.asarray((low + high) / 2)


def _shares(targets: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Targets ``[N, L]`` smoothed by the counts of each label."""
    positives = targets.sum(axis=0, keepdims=True, dtype=np.float64)
    return np.asarray(np.where(targets > 0.5, (positives + 1) / (positives + 2), 1 / (len(targets) - positives + 2)))


def _least(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss, by golden-section search on its logarithm."""
    low, high = math.log(_LOW), math.log(_HIGH)
    for _ in range(60):
        left, right = high - _REFERENCE * (high - low), low + _REFERENCE * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def to_probabilities(logits: Floats, task: Task, temperature: float) -> Floats:
    """Probabilities ``[N, K]`` that the model file's graph computes from logits ``[N, L]``."""
    scaled = logits / temperature
    if task == "single-label":
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
    positive = np.exp(-np.logaddexp(0, -scaled))
    if task == "binary":
        positive = np.concatenate([1 - positive, positive], axis=1)
    return np.asarray(positive, np.float32)
