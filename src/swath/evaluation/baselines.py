"""The two simple rules every model is compared with: fitted in training, and carried by the model file.

A model that is not clearly better than the commonest class has learned nothing, and one that is not clearly better
than color statistics has learned nothing that needs a network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import color_feature_names, color_features
from swath.errors import ModelFileError
from swath.evaluation.softmax import fit_softmax
from swath.model.record import Baselines, ColorBaseline


def fit_baselines(
    pixels: npt.NDArray[Any], labels: npt.NDArray[np.int64], *, bands: Sequence[str], classes: Sequence[str]
) -> Baselines:
    """Fit the majority class, and multinomial logistic regression on color statistics.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, P, P]`` of the training split.
    labels : numpy.ndarray
        ``[N]``.
    bands : sequence of str
        One name per band.
    classes : sequence of str
        In order.
    """
    # scikit-learn's penalty with C = 1, which with two classes it puts on the difference of their weights.
    ridge = (2 if len(classes) == 2 else 1) / len(labels)
    fitted = fit_softmax(color_features(pixels), labels, outputs=len(classes), ridge=ridge, steps=3000, tolerance=1e-7)
    return Baselines(
        majority=classes[Counter(labels.tolist()).most_common(1)[0][0]],
        color=ColorBaseline(
            features=tuple(color_feature_names(bands)),
            center=tuple(fitted.center.tolist()),
            scale=tuple(fitted.scale.tolist()),
            weights=tuple(tuple(row) for row in fitted.weights.T.tolist()),
            bias=tuple(fitted.bias.tolist()),
        ),
    )


def baseline_predictions(
    baselines: Baselines, pixels: npt.NDArray[Any], *, bands: Sequence[str], classes: Sequence[str]
) -> dict[str, npt.NDArray[np.int64]]:
    """Answers of the baselines in a model's record.

    Parameters
    ----------
    baselines : Baselines
        From the record.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16.
    bands : sequence of str
        One name per band.
    classes : sequence of str
        The model's classes in order.

    Returns
    -------
    dict of str to numpy.ndarray
        ``"majority"``, and ``"color"`` where the record has one: ``[N]`` int64 class numbers.

    Raises
    ------
    ModelFileError
        If a baseline does not fit the model's classes or this version's color statistics.
    """
    if baselines.majority not in classes:
        raise ModelFileError(
            f"the model's majority baseline '{baselines.majority}' is not one of its classes",
            fix="export the model again",
        )
    n = len(pixels)
    answers = {"majority": np.full(n, list(classes).index(baselines.majority), np.int64)}
    if baselines.color is not None:
        _check(baselines.color, bands=bands, classes=classes)
        answers["color"] = color_predictions(baselines.color, color_features(pixels))
    return answers


def baseline_scores(
    baselines: Baselines, pixels: npt.NDArray[Any], *, bands: Sequence[str], classes: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Probability of the positive class according to the baselines of a binary model.

    Parameters
    ----------
    baselines, pixels, bands, classes
        As for :func:`baseline_predictions`; `classes` are the negative and the positive one.

    Returns
    -------
    dict of str to numpy.ndarray
        ``[N]`` float64, 0-1: the majority's is 0 or 1 throughout.

    Raises
    ------
    ModelFileError
        As :func:`baseline_predictions`.
    """
    answers = baseline_predictions(baselines, pixels, bands=bands, classes=classes)
    scores = {"majority": answers["majority"].astype(np.float64)}
    if baselines.color is not None:
        both = _color_scores(baselines.color, color_features(pixels))
        scores["color"] = 1 / (1 + np.exp(np.clip(both[:, 0] - both[:, 1], -700, 700)))
    return scores


def color_predictions(baseline: ColorBaseline, features: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Multinomial logistic regression: standardize, one linear layer, the largest wins.

    Parameters
    ----------
    baseline : ColorBaseline
        Weights ``[K, F]``, bias ``[K]``, and center and scale ``[F]``.
    features : numpy.ndarray
        ``[N, F]`` float64 color statistics.

    Returns
    -------
    numpy.ndarray
        ``[N]`` int64 class numbers.
    """
    return np.asarray(_color_scores(baseline, features).argmax(axis=1), np.int64)


def _color_scores(baseline: ColorBaseline, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    standard = (features - np.array(baseline.center)) / np.array(baseline.scale)
    return np.asarray(standard @ np.array(baseline.weights).T + np.array(baseline.bias))


def _check(baseline: ColorBaseline, *, bands: Sequence[str], classes: Sequence[str]) -> None:
    expected = tuple(color_feature_names(bands))
    if baseline.features != expected:
        raise ModelFileError(
            "the model's color baseline uses color statistics that this version of swath does not compute",
            fix="train the model again, or use the version named in its record",
        )
    widths = {len(baseline.center), len(baseline.scale), *(len(row) for row in baseline.weights)}
    heights = {len(baseline.bias), len(baseline.weights)}
    if widths != {len(expected)} or heights != {len(classes)} or min(baseline.scale) <= 0:
        raise ModelFileError(
            f"the model's color baseline is damaged: its weights do not fit {len(classes)} classes and "
            f"{len(expected)} statistics",
            fix="export the model again",
        )
