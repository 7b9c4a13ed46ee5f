"""Fit the simple rules a network must beat, on the training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from swath.data import colour_feature_names, colour_features
from swath.model.record import Baselines, ColourBaseline


def fit_baselines(
    pixels: npt.NDArray[Any], labels: npt.NDArray[np.int64], *, bands: Sequence[str], classes: Sequence[str]
) -> Baselines:
    """Majority class, and multinomial logistic regression on colour statistics.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, P, P]`` of the training split.
    labels : numpy.ndarray
        ``[N]``.
    """
    features = colour_features(pixels)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    model = LogisticRegression(C=1.0, solver="newton-cholesky").fit((features - centre) / scale, labels)
    weights, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(classes) == 2:  # scikit-learn keeps one row for two classes
        weights, bias = np.vstack([-weights[0], weights[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
    majority = Counter(labels.tolist()).most_common(1)[0][0]
    return Baselines(
        majority=classes[majority],
        colour=ColourBaseline(
            features=tuple(colour_feature_names(bands)),
            centre=tuple(centre.tolist()),
            scale=tuple(scale.tolist()),
            weights=tuple(tuple(row) for row in weights.tolist()),
            bias=tuple(bias.tolist()),
        ),
    )
