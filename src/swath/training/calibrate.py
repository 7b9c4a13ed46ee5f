"""Temperature scaling (Guo et al. 2017), fitted on validation logits.

As in Platt (1999), the right class counts for ``(N + 1) / (N + 2)`` instead of one: otherwise a network
without an error on a small validation split would be declared certain of everything.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_LOW, _HIGH = 0.05, 20.0
_GOLDEN = (5**0.5 - 1) / 2


def mean_nll(
    logits: npt.NDArray[np.floating],
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


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """The temperature that minimises the likelihood loss, by golden-section search on its logarithm.

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

    def loss(place: float) -> float:
        return mean_nll(logits, labels, math.exp(place), smoothing=smoothing)

    low, high = math.log(_LOW), math.log(_HIGH)
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
