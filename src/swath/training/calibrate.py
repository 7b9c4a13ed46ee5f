"""Temperature scaling (Guo et al. 2017), fitted on validation logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOW, _HIGH = 0.05, 20.0
_GOLDEN = (5**0.5 - 1) / 2


def mean_nll(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of softmax(logits / temperature)."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


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
    logits = np.asarray(logits, np.float64)
    low, high = np.log(_LOW), np.log(_HIGH)
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if mean_nll(logits, labels, float(np.exp(left))) < mean_nll(logits, labels, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
