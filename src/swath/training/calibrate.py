"""Temperature scaling (Guo et al. 2017), fitted on validation logits.

As in Platt (1999), the right class counts for ``(N + 1) / (N + 2)`` instead of one: otherwise a network
without an error on a small validation split would be declared certain of everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_LOW, _HIGH = 0.05, 20.0
_GOLDEN = (5**0.5 - 1) / 2

Logits = npt.NDArray[np.floating]


def mean_nll(
    logits: Logits,
    labels: npt.NDArray[np.int64],
    temperature: float,
    *,
    smoothing: float = 0.0,
) -> float:
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
    """The temperature of a softmax that minimises the likelihood loss.

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
    """The temperature of sigmoids that minimises the likelihood loss.

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
    positives = targets.sum(axis=0, keepdims=True)
    above = (positives + 1) / (positives + 2)
    below = 1 / (len(targets) - positives + 2)
    shares = np.where(targets > 0.5, above, below)
    return _least(lambda temperature: mean_binary_nll(logits, shares, temperature))


def _least(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss, by golden-section search on its logarithm."""
    low, high = math.log(_LOW), math.log(_HIGH)
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
