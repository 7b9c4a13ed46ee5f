"""Multinomial logistic regression in numpy, to read classes off a network's features.

scikit-learn belongs to training; this room stays without it. The curvature of the loss never exceeds half the
features' own second moments (Böhning 1992, Ann. Inst. Stat. Math. 44, 197-200), so one inverse serves all
steps and no step can overshoot; Nesterov's momentum, restarted where it points uphill (O'Donoghue and Candès
2015, Found. Comput. Math. 15, 715-732), makes the steps few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Attributes
    ----------
    centre, scale : numpy.ndarray
        ``[D]`` float64, to standardise features with.
    weights : numpy.ndarray
        ``[K, D]`` float64 on standardised features.
    bias : numpy.ndarray
        ``[K]`` float64.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    def probabilities(self, features: npt.NDArray[Any]) -> Floats:
        """Probability of each class, ``[N, K]`` float64, for features ``[N, D]``."""
        standard = (features - self.centre) / self.scale
        return softmax(standard @ self.weights.T + self.bias)


def fit_regression(
    features: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    classes: int,
    penalty: float = 1.0,
    tolerance: float = 1e-4,
    steps: int = 500,
) -> Regression:
    """Minimise the summed cross-entropy plus ``penalty / 2`` times the summed squares of the weights.

    Parameters
    ----------
    features : numpy.ndarray
        ``[N, D]``; standardised first, so that the penalty means the same for all.
    labels : numpy.ndarray
        ``[N]`` int64.
    classes : int
        K.
    penalty : float
        On weights, not on the bias: scikit-learn's ``1 / C``.
    tolerance : float
        Stop where no component of the gradient exceeds this share of N.
    steps : int
        Stop after so many anyway.
    """
    n, d = features.shape
    centre = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-12, spread, 1.0)
    x = np.ones((n, d + 1))
    x[:, :d] = (features - centre) / scale
    target = np.zeros((n, classes))
    target[np.arange(n), labels] = 1.0
    # The bias is penalised by next to nothing: probabilities do not change if all biases move together.
    penalties = np.full(d + 1, penalty)
    penalties[d] = 1e-9
    inverse = np.linalg.inv(x.T @ x / 2 + np.diag(penalties))
    w = np.zeros((classes, d + 1))
    before, pace = w, 1.0
    for _ in range(steps):
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = w + (pace - 1) / faster * (w - before)
        gradient = (softmax(x @ ahead.T) - target).T @ x + ahead * penalties
        after = ahead - gradient @ inverse
        uphill = float((gradient * (after - w)).sum()) > 0
        before, w, pace = w, after, 1.0 if uphill else faster
        if np.abs(gradient).max() <= tolerance * n:
            break
    return Regression(centre, scale, w[:, :d], w[:, d])


def softmax(scores: Floats) -> Floats:
    """Probabilities of scores, along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
