"""How far a patch is from a model's training data: energy, and distance from the classes.

Energy is ``-logsumexp(logits / T)`` (Liu et al. 2020, NeurIPS), for several labels the sum over them (Wang et al.
2021, NeurIPS). It sees classes the network never learned. The distance is that of a Gaussian discriminant
analysis, as Lee et al. 2018 (NeurIPS) take it on features, here with a covariance for each class and with texture and
colors next to the features: a network trained not to mind other sensors does not notice a swapped band, pixels do.
Weights and parts were chosen by measurement on training and validation patches: docs/reliability.md.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from swath.data.statistics import SMALLEST, color_features, texture_features, window_colors, window_textures
from swath.errors import ModelFileError
from swath.imagery import resize
from swath.model.ood import OutOfDistribution, PackedArray, RobustScale
from swath.model.record import Task

NEEDED = ("features", "logits")
Floats = npt.NDArray[np.float64]
FALSE_ALARMS = 0.02
TAUGHT_FALSE_ALARMS = 0.1  # on land like the places: few of them, held out, say no more than that
TRAIN_PATCHES = 4000  # more of them change nothing that can be measured
COMPONENTS = 32
_OWN = 50  # classes up to which each has a covariance of its own
_SHARED = 0.5  # of a class's covariance that is that of all classes
_RIDGE = 1e-3
_AT_ONCE = 4096  # windows whose description is in hand


class OodScorer:
    """Scores patches by the statistics of a model file.

    Parameters
    ----------
    kept : OutOfDistribution
        The statistics.
    name : str
        Of the model, for messages.
    task, temperature
        Of the model.
    size : int
        Side of the patches the network sees, pixels.

    Raises
    ------
    ModelFileError
        If the statistics are damaged, or by :meth:`scores` if they are not of this model.
    """

    def __init__(self, kept: OutOfDistribution, *, name: str, task: Task, temperature: float, size: int) -> None:
        self._kept, self._name = kept, name
        self._task: Task = task
        self._temperature, self._size = temperature, size
        try:
            self._projection = kept.projection.unpack()
            self._classes, self._whitening = kept.classes.unpack(), kept.whitening.unpack()
        except ValueError as error:
            raise ModelFileError(f"the record of model '{name}' is damaged: {error}") from error

    @property
    def threshold(self) -> float:
        """Least score that is called unlike the training data."""
        return self._kept.threshold

    def score(
        self, pixels: npt.NDArray[Any], features: npt.NDArray[Any], logits: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        """How far ``[N]`` patches are from the training data: about 0 for usual ones, large for strange ones.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[N, bands, H, W]`` as handed to the model.
        features, logits : numpy.ndarray
            ``[N, D]`` and ``[N, L]``, what the model gave for them.

        Raises
        ------
        ModelFileError
            If the statistics are not those of this model, or so damaged that a score is no number.
        """
        return self._score(pixel_features(pixels, size=self._size), features, logits)

    def score_windows(
        self, pixels: npt.NDArray[Any], features: npt.NDArray[Any], logits: npt.NDArray[Any], *, stride: int
    ) -> npt.NDArray[np.float32]:
        """:meth:`score` of every window ``[rows, columns]`` of a scene, which share the work of their overlap.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[bands, H, W]`` as handed to the model.
        features, logits : numpy.ndarray
            ``[D, rows, columns]`` and ``[L, rows, columns]``, what a dense pass gave.
        stride : int
            Pixels from one window to the next.

        Raises
        ------
        ModelFileError
            As :meth:`score`.
        """
        seen = window_pixel_features(pixels, size=self._size, stride=stride)
        shape, rows = seen.shape[:2], max(1, _AT_ONCE // seen.shape[1])
        parts = []
        for top in range(0, shape[0], rows):
            part = np.s_[:, top : top + rows]
            made = (np.moveaxis(values[part], 0, -1).reshape(-1, len(values)) for values in (features, logits))
            parts.append(self._score(seen[part[1]].reshape(-1, seen.shape[2]), *made))
        return np.concatenate(parts).reshape(shape)

    def _score(self, seen: Floats, features: npt.NDArray[Any], logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            score = together(self._kept, *self._parts(seen, features, logits)).astype(np.float32)
        if not np.isfinite(score).all():  # compared with a threshold, it would be like any patch or like none
            raise ModelFileError(
                f"the out-of-distribution statistics of model '{self._name}' give scores that are not numbers",
                fix="fit them again: swath model calibrate MODEL INDEX --out NEW.onnx",
            )
        return score

    def parts(
        self, pixels: npt.NDArray[Any], features: npt.NDArray[Any], logits: npt.NDArray[Any]
    ) -> tuple[Floats, Floats]:
        """The two scores ``[N]`` before they are scaled and added: energy, and distance from the nearest class.

        The distance is twice the negative log-density, but for a constant, under the nearest class.
        """
        return self._parts(pixel_features(pixels, size=self._size), features, logits)

    def _parts(self, seen: Floats, features: npt.NDArray[Any], logits: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        kept = self._kept
        energy = energies(logits, task=self._task, temperature=self._temperature)
        # Components, what they leave over, and the energy, next to the texture and colors.
        whole = len(self._projection) + 2 + seen.shape[1]
        if features.shape[1:] != (len(kept.center),) or len(kept.mean) != whole:
            raise ModelFileError(
                f"the out-of-distribution statistics of model '{self._name}' are not for its features and bands",
                fix="fit them again: swath model calibrate MODEL INDEX --out NEW.onnx",
            )
        described = _described(features, energy, seen, self._projection, np.array(kept.center))
        values = (described - np.array(kept.mean)) / np.array(kept.scale)
        return energy, _nearest(values, self._classes, self._whitening)


def _nearest(values: Floats, classes: Floats, whitening: Floats) -> Floats:
    """Twice the negative log-density ``[N]``, but for a constant, under the nearest of the classes."""
    nearest = np.full(len(values), np.inf)
    for number, center in enumerate(classes):
        triangle = whitening[number % len(whitening)]
        size = 2 * np.log(np.maximum(np.abs(np.diag(triangle)), 1e-30)).sum()
        np.minimum(nearest, (((values - center) @ triangle) ** 2).sum(axis=1) - size, out=nearest)
    return nearest


def together(kept: OutOfDistribution, energy: Floats, distance: Floats) -> Floats:
    """Add the two scores ``[N]``, each on its own scale."""
    parts = ((energy, kept.energy), (distance, kept.distance))
    return np.asarray(sum((values - on.median) / on.spread for values, on in parts))


def energies(logits: npt.NDArray[Any], *, task: Task, temperature: float) -> Floats:
    """Energy ``[N]`` of logits ``[N, L]``: low where a class is sure."""
    scaled = np.asarray(logits, np.float64) / temperature
    if task == "multi-label":
        return np.asarray(-np.logaddexp(0, scaled).sum(axis=1))
    if task == "binary":  # one logit l is the pair (-l / 2, l / 2)
        return np.asarray(-np.logaddexp(scaled[:, 0] / 2, -scaled[:, 0] / 2))
    top = scaled.max(axis=1)
    return np.asarray(-(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))))


def _described(features: npt.NDArray[Any], energy: Floats, seen: Floats, projection: Floats, center: Floats) -> Floats:
    """What patches are compared by ``[N, F]``: leading components of the features, the logarithm of what they
    leave over, the energy, and :func:`pixel_features`.
    """
    values = np.asarray(features, np.float64) - center
    leading = values @ projection.T
    left = np.maximum((values**2).sum(axis=1) - (leading**2).sum(axis=1), 0.0)
    return np.concatenate([leading, np.log(left + 1e-6)[:, None], energy[:, None], seen], axis=1)


def pixel_features(pixels: npt.NDArray[Any], *, size: int) -> Floats:
    """Texture and colors of patches, at the side in pixels that the network sees them in, 16 at least."""
    side = max(size, SMALLEST)
    if pixels.shape[2:] != (side, side):
        pixels = resize(np.ascontiguousarray(pixels), side)
    # Colors of every fourth pixel: a map describes tens of thousands of patches.
    return np.concatenate([texture_features(pixels), color_features(pixels[:, :, ::2, ::2])], axis=1)


def window_pixel_features(pixels: npt.NDArray[Any], *, size: int, stride: int) -> Floats:
    """:func:`pixel_features` of every window of a scene.

    Windows that begin at the same offset within 16 pixels share a pyramid and counts. A stride that is a multiple of 16
    makes one group of them, 8 makes 4, 4 makes 16.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, with room for a window.
    size : int
        Side of the windows and of what the network sees, pixels.
    stride : int
        Pixels from one window to the next.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns, F]``.
    """
    if size < SMALLEST:  # every window is enlarged by itself
        windows = sliding_window_view(pixels, (size, size), axis=(1, 2))[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)
        return np.stack([pixel_features(row, size=size) for row in windows])
    rows, columns = ((side - size) // stride + 1 for side in pixels.shape[1:])
    spacing = math.lcm(stride, SMALLEST)
    every = spacing // stride

    def described(down: int, across: int) -> Floats:
        ends = (range(first, count, every)[-1] * stride + size for first, count in ((down, rows), (across, columns)))
        part = pixels[:, down * stride : next(ends), across * stride : next(ends)]
        textures = window_textures(part, size=size, stride=spacing)
        # Every second pixel each way, as of patches.
        colors = window_colors(part[:, ::2, ::2], size=-(-size // 2), stride=spacing // 2)
        return np.concatenate([textures, colors], axis=2)

    offsets = itertools.product(range(min(every, rows)), range(min(every, columns)))
    groups = {offset: described(*offset) for offset in offsets}
    found = np.empty((rows, columns, groups[0, 0].shape[2]))
    for (down, across), group in groups.items():
        found[down::every, across::every] = group
    return found


@dataclass(frozen=True)
class PatchOutputs:
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
    train: PatchOutputs,
    classes: npt.NDArray[np.int64],
    val: PatchOutputs,
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
    train : PatchOutputs
        Up to some thousands of training patches, not augmented.
    classes : numpy.ndarray
        ``[N]`` int64, their groups: the labels; for a multi-label model zeros.
    val : PatchOutputs
        Validation patches.
    task, temperature
        Of the model.
    size : int
        Side of the patches the network sees.
    false_alarms : float
        Share of patches like the training data that may be flagged.

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
    center = features.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(features, rowvar=False).reshape(len(center), len(center)))
    projection = PackedArray.pack(axes[:, ::-1][:, :COMPONENTS].T)
    seen = pixel_features(train.pixels, size=size)
    energy = energies(train.logits, task=task, temperature=temperature)
    described = _described(features, energy, seen, projection.unpack(), center)
    mean, spread = described.mean(axis=0), described.std(axis=0)
    scale = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, 1.0)
    means, triangles = _class_gaussians((described - mean) / scale, classes)
    unscaled = OutOfDistribution(
        projection=projection,
        center=tuple(center.tolist()),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        classes=PackedArray.pack(means),
        whitening=PackedArray.pack(triangles),
        energy=RobustScale(median=0.0, spread=1.0),
        distance=RobustScale(median=0.0, spread=1.0),
        threshold=0.0,
        false_alarms=false_alarms,
        patches=n,
    )
    scorer = OodScorer(unscaled, name="in training", task=task, temperature=temperature, size=size)
    calm, far = scorer.parts(val.pixels, val.features, val.logits)
    scaled = unscaled.model_copy(update={"energy": _standard(calm), "distance": _standard(far)})
    scores = np.sort(together(scaled, calm, far).astype(np.float32))
    # Above the rank-th score: a patch with that very score is not flagged yet.
    return scaled.model_copy(update={"threshold": float(np.nextafter(scores[rank - 1], np.float32(np.inf)))})


def extend_out_of_distribution(
    kept: OutOfDistribution,
    taught: PatchOutputs,
    classes: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
    scored: npt.NDArray[np.bool_],
    *,
    task: Task,
    temperature: float,
    size: int,
    older_energy: Floats | None = None,
    forget: bool = False,
) -> OutOfDistribution:
    """Add classes as a scene shows them to the statistics of a model file, and settle the threshold again.

    Every taught class becomes one more normal distribution; its covariance is drawn to the mean of the older ones, as
    its patches are few. Scores that settle the threshold are those of patches whose fold took no part.

    Parameters
    ----------
    kept : OutOfDistribution
        Of the model before.
    taught : PatchOutputs
        Views of places, N of them, with the new logits by models that did not learn from them.
    classes, folds : numpy.ndarray
        ``[N]`` int64: their class, and the fold that they are held out in.
    scored : numpy.ndarray
        ``[N]`` bool, the views that stand for their place: one each.
    task, temperature, size
        Of the new model.
    older_energy : numpy.ndarray, optional
        Mean energy of each older class under the new head.
    forget : bool
        Whether the older classes are left out.

    Returns
    -------
    OutOfDistribution
        Its threshold is the older one, or a higher one where that would mark more than one in ten of the places.
    """
    projection, center = kept.projection.unpack(), np.array(kept.center)
    energy = energies(taught.logits, task=task, temperature=temperature)
    seen = pixel_features(taught.pixels, size=size)
    described = _described(taught.features, energy, seen, projection, center)
    values = (described - np.array(kept.mean)) / np.array(kept.scale)
    means, triangles = kept.classes.unpack(), kept.whitening.unpack()
    if older_energy is not None and len(older_energy) == len(means):
        place = len(projection) + 1
        means[:, place] = (older_energy - kept.mean[place]) / kept.scale[place]
    covariances = np.stack([np.linalg.inv(triangle @ triangle.T) for triangle in triangles])
    shared = covariances.mean(axis=0)

    def joined(rows: npt.NDArray[np.bool_]) -> tuple[PackedArray, PackedArray]:
        """Means and triangles, rounded as the file keeps them."""
        own_means, own = [], []
        for number in np.unique(classes[rows]):
            part = values[rows & (classes == number)]
            own_means.append(part.mean(axis=0))
            rest = part - own_means[-1]
            covariance = (rest.T @ rest + len(shared) * shared) / (len(part) + len(shared))
            own.append(np.linalg.cholesky(np.linalg.inv(covariance)))
        all_means = np.stack(own_means) if forget else np.concatenate([means, np.stack(own_means)])
        all_triangles = np.stack(own) if forget else np.concatenate([triangles, np.stack(own)])
        if len(triangles) == 1 and len(means) > 1:
            all_triangles = triangles
        return PackedArray.pack(all_means), PackedArray.pack(all_triangles)

    far = np.empty(len(values))
    for fold in np.unique(folds):
        held, others = folds == fold, folds != fold
        packed = joined(others if others.any() else held)
        far[held] = _nearest(values[held], *(part.unpack() for part in packed))
    whole_means, whole_triangles = joined(np.ones(len(values), bool))
    # A place whose class no other fold holds is rightly called unlike, and would hide all that is.
    spread = np.array([len(np.unique(folds[classes == number])) > 1 for number in classes])
    scored = scored & spread
    extended = kept.model_copy(update={"classes": whole_means, "whitening": whole_triangles})
    scores = np.sort(together(extended, energy[scored], far[scored]).astype(np.float32))
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - TAUGHT_FALSE_ALARMS) - 1e-9)
    # Of so few that the least usual one would decide, none does.
    if rank >= n or scores[rank - 1] < kept.threshold:
        return extended
    threshold = float(np.nextafter(scores[rank - 1], np.float32(np.inf)))
    return extended.model_copy(update={"threshold": threshold, "patches": n, "false_alarms": TAUGHT_FALSE_ALARMS})


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


def _standard(scores: Floats) -> RobustScale:
    median, high = np.quantile(scores, [0.5, 0.95])
    return RobustScale(median=float(median), spread=max(float(high - median), 1e-6))
