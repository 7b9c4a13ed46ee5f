"""Learn what patches like the training data look like, and where strange begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.inference.unlike import Gaussians, energies, pixel_features, reduced, together, unpacked
from swath.model.record import Task
from swath.model.unlike import OutOfDistribution, Packed, Standard

FALSE_ALARMS = 0.02
TRAIN_PATCHES = 4000  # more of them change nothing that can be measured
COMPONENTS = 32
_OWN = 50  # classes up to which each has a covariance of its own
_SHARED = 0.5  # of a class's covariance that is that of all classes
_RIDGE = 1e-3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Patches and what the network made of them.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[N, bands, P, P]`` as stored.
    features : numpy.ndarray
        ``[N, D]``.
    logits : numpy.ndarray
        ``[N, L]``, not yet divided by the temperature.
    """

    pixels: npt.NDArray[Any]
    features: npt.NDArray[Any]
    logits: npt.NDArray[Any]


def fit_out_of_distribution(
    train: Seen,
    classes: npt.NDArray[np.int64],
    val: Seen,
    *,
    task: Task,
    temperature: float,
    size: int,
    false_alarms: float = FALSE_ALARMS,
) -> OutOfDistribution | None:
    """Fit the statistics on training patches, and choose the threshold on validation patches.

    The threshold is the conformal quantile: of patches drawn as the validation patches were, at most the share
    `false_alarms` reaches it. The statistics are rounded as the file keeps them before it is chosen.

    Parameters
    ----------
    train : Seen
        Up to some thousands of training patches, not augmented.
    classes : numpy.ndarray
        ``[N]`` int64, their groups: the labels; for a multi-label model zeros.
    val : Seen
        Validation patches.
    task, temperature
        Of the model.
    size : int
        Side of the patches the network sees.
    false_alarms : float
        Share of patches like the training data that may be called unlike.

    Returns
    -------
    OutOfDistribution or None
        None where there are too few validation patches to choose a threshold (with 2 %, fewer than 49).
    """
    n = len(val.logits)
    rank = math.ceil((n + 1) * (1 - false_alarms) - 1e-9)
    if rank > n or len(train.logits) < 2:
        return None
    features = np.asarray(train.features, np.float64)
    centre = features.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(features, rowvar=False).reshape(len(centre), len(centre)))
    projection = Packed.pack(axes[:, ::-1][:, :COMPONENTS].T)
    seen = pixel_features(train.pixels, size=size)
    energy = energies(train.logits, task=task, temperature=temperature)
    described = np.concatenate(
        [reduced(features, projection.unpack(), centre), energy[:, None], seen], axis=1
    )
    mean, spread = described.mean(axis=0), described.std(axis=0)
    scale = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, 1.0)
    means, triangles = _class_gaussians((described - mean) / scale, classes)
    unscaled = OutOfDistribution(
        projection=projection,
        centre=tuple(centre.tolist()),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        classes=Packed.pack(means),
        whitening=Packed.pack(triangles),
        energy=Standard(median=0.0, spread=1.0),
        distance=Standard(median=0.0, spread=1.0),
        threshold=0.0,
        false_alarms=false_alarms,
        patches=n,
    )
    gaussians: Gaussians = unpacked(unscaled)
    calm = energies(val.logits, task=task, temperature=temperature)
    far = gaussians.distance(gaussians.described(val.features, calm, pixel_features(val.pixels, size=size)))
    scaled = unscaled.model_copy(update={"energy": _standard(calm), "distance": _standard(far)})
    scores = np.sort(together(scaled, calm, far).astype(np.float32))
    # Above the rank-th score: a patch as strange as that is not called unlike yet.
    return scaled.model_copy(update={"threshold": float(np.nextafter(scores[rank - 1], np.float32(np.inf)))})


def _class_gaussians(values: Floats, classes: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means ``[C, F]`` and lower triangles ``[C or 1, F, F]`` of the inverse covariances."""
    numbers = np.unique(classes)
    means = np.stack([values[classes == k].mean(axis=0) for k in numbers])
    rests = [values[classes == k] - mean for k, mean in zip(numbers, means, strict=True)]
    shared = sum(rest.T @ rest for rest in rests) / len(values)
    shared += _RIDGE * max(float(np.trace(shared)) / len(shared), 1e-9) * np.eye(len(shared))
    if len(numbers) > _OWN:
        return means, np.linalg.cholesky(np.linalg.inv(shared))[None]
    each = [(1 - _SHARED) * rest.T @ rest / len(rest) + _SHARED * shared for rest in rests]
    return means, np.stack([np.linalg.cholesky(np.linalg.inv(covariance)) for covariance in each])


def _standard(scores: Floats) -> Standard:
    median, high = np.quantile(scores, [0.5, 0.95])
    return Standard(median=float(median), spread=max(float(high - median), 1e-6))
