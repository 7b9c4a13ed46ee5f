"""Multinomial logistic regression in plain numpy, for what is measured right of the model file.

The curvature of the softmax loss never exceeds half the second moment of the inputs (Böhning 1992, Annals of
the Institute of Statistical Mathematics 44, 197-200). So one small matrix, inverted once, gives steps
that never overshoot; momentum with restarts makes few of them do (O'Donoghue and Candès 2015, Foundations of
Computational Mathematics 15, 715-732).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEPS = 300
TOLERANCE = 1e-5
_TINY = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Softmax:
    """A fitted regression.

    Attributes
    ----------
    center, scale : numpy.ndarray
        ``[F]``; inputs are standardized with them.
    weights : numpy.ndarray
        ``[F, K]``.
    bias : numpy.ndarray
        ``[K]``.
    """

    center: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    def probabilities(self, features: npt.NDArray[np.floating]) -> Floats:
        """Probabilities ``[N, K]`` of the classes for ``[N, F]`` features."""
        return _softmax((features - self.center) / self.scale @ self.weights + self.bias)

    def predict(self, features: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Class numbers ``[N]``; the first of equally probable ones."""
        return np.asarray(self.probabilities(features).argmax(axis=1), np.int64)


def fit_softmax(
    features: npt.NDArray[np.floating],
    classes: npt.NDArray[np.int64],
    *,
    outputs: int,
    ridge: float = 1e-4,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
    weights: Floats | None = None,
    offset: Floats | None = None,
    standardize: bool = True,
    begin: Softmax | None = None,
    dtype: npt.DTypeLike = np.float64,
) -> Softmax:
    """Fit class probabilities to features.

    Minimizes the mean negative log-likelihood plus ``ridge / 2`` times the squared length of the weights
    of the standardized features; biases are free. That is scikit-learn's ``LogisticRegression`` with
    ``C = 1 / (ridge * N)``.

    Parameters
    ----------
    features : numpy.ndarray
        ``[N, F]``, N at least 1; F may be 0. Columns without spread are left alone.
    classes : numpy.ndarray
        ``[N]`` int64, 0 to ``outputs - 1``; not every class need occur.
    outputs : int
        Number of classes, K.
    ridge : float
        Weight of the penalty, above 0.
    steps : int
        At most this many; fewer once the largest slope is below `tolerance`.
    tolerance : float
        Largest slope of a finished fit.
    weights : numpy.ndarray, optional
        ``[N]``, how much each row counts in the mean; equal by default.
    offset : numpy.ndarray, optional
        ``[N, K]`` logits to which those of the fit are added; the penalty then draws towards them.
    standardize : bool
        Whether inputs are standardized; otherwise they are taken as they are.
    begin : Softmax, optional
        A fit to start from, such as one to the same rows with another `ridge`; from zeros by default.
    dtype : data type
        To compute in: ``float32`` takes half the time, and gives about five digits.
    """
    n, width = features.shape
    values = features.astype(np.float64)
    share = np.full((n, 1), 1 / n) if weights is None else (weights / weights.sum())[:, None]
    base = np.zeros((1, outputs)) if offset is None else offset
    center, scale = np.zeros(width), np.ones(width)
    if standardize:
        center, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > _TINY * (1 + np.abs(center)), spread, 1.0)
    inputs = np.concatenate([(values - center) / scale, np.ones((n, 1))], axis=1).astype(dtype)
    if standardize:
        inputs[:, :width][:, spread <= _TINY * (1 + np.abs(center))] = 0.0
    share, base = share.astype(dtype), base.astype(dtype)
    wanted = np.zeros((n, outputs), dtype)
    wanted[np.arange(n), classes] = 1.0
    penalty = np.full((width + 1, 1), ridge, dtype)
    penalty[-1] = 0.0
    bound = inputs.T @ (share * inputs) / 2 + np.diag(penalty[:, 0])
    step = np.linalg.inv(bound.astype(np.float64) + _TINY * np.eye(width + 1)).astype(dtype)
    fitted = np.zeros((width + 1, outputs), dtype)
    if begin is not None:
        fitted[:-1], fitted[-1] = begin.weights, begin.bias
    ahead, momentum = fitted.copy(), 1.0
    for _ in range(steps):
        slope = inputs.T @ (share * (_softmax(base + inputs @ ahead) - wanted)) + penalty * ahead
        following = ahead - step @ slope
        if np.abs(slope).max() < tolerance:
            fitted = following
            break
        if float((slope * (following - fitted)).sum()) > 0:  # going uphill: restart the momentum
            momentum = 1.0
        later = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / later * (following - fitted)
        fitted, momentum = following, later
    return Softmax(center, scale, fitted[:-1].astype(np.float64), fitted[-1].astype(np.float64))


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares
