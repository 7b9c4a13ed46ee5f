"""A map of similarity: patches with similar features are close to each other on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import color_features
from swath.imagery import RGB
from swath.inference import load
from swath.progress import Progress, silent

MODEL = "eurosat"
MOST = 4_000  # patches on the map; drawn with seed 0
_BATCH = 512
_STAGE = "features"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Embedding:
    """Positions of patches on the map.

    Attributes
    ----------
    rows : numpy.ndarray
        ``[M]``, which patches are on it.
    places : numpy.ndarray
        ``[M, 2]`` float64, the first two principal components.
    explained : tuple of float
        Share of the variance that each of the two carries.
    by : str
        The features that describe the patches, in words.
    """

    rows: npt.NDArray[np.intp]
    places: Floats
    explained: tuple[float, float]
    by: str


def embed(
    pixels: npt.NDArray[Any], bands: Sequence[str], *, most: int = MOST, progress: Progress = silent
) -> Embedding:
    """Describe patches by features and project them onto a plane.

    8-bit RGB patches are described by the features of the shipped model, others by their color
    statistics, standardized.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]`` uint8 or uint16; may be mapped from disk.
    bands : sequence of str
        One name per band.
    most : int
        Maximum number of patches.
    progress : Progress
        Called with stage ``"features"``.
    """
    n = len(pixels)
    rows = np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    described: npt.NDArray[Any]
    if pixels.dtype == np.uint8 and tuple(bands) == RGB:
        described = _by_network(pixels, rows, progress)
        by = f"the features of the shipped model '{MODEL}'"
    else:
        described = color_features(np.asarray(pixels[rows]))
        spread = described.std(axis=0)
        described = (described - described.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        by = "color statistics, since the shipped model takes 8-bit RGB only"
    places, explained = principal(described)
    return Embedding(rows, places, explained, by)


def principal(values: npt.NDArray[np.floating]) -> tuple[Floats, tuple[float, float]]:
    """First two principal components of ``[N, F]`` values, and the share of variance of each.

    Axes point so that the largest loading of each is positive: the same values give the same map.
    Pearson 1901, Philosophical Magazine 2, 559-572.
    """
    centered = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    if centered.shape[1] < 2:
        centered = np.pad(centered, ((0, 0), (0, 2 - centered.shape[1])))
    power, axes = np.linalg.eigh(centered.T @ centered)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = float(power.sum())
    shares = [float(max(0.0, power[place]) / total) if total > 0 else 0.0 for place in (-1, -2)]
    return centered @ axes, (shares[0], shares[1])


def spread_out(places: Floats, *, cells: int) -> list[tuple[int, int, int]]:
    """Choose patches that cover a map: of each cell of a grid the one nearest its center.

    Parameters
    ----------
    places : numpy.ndarray
        ``[M, 2]``.
    cells : int
        Cells along each side of the map.

    Returns
    -------
    list of tuple of int
        Number of the patch, and column and row of its cell; row 0 is at the top.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    scaled = (places - low) / np.where(high > low, high - low, 1.0) * cells
    cell = np.minimum(scaled.astype(np.intp), cells - 1)
    off = ((scaled - cell - 0.5) ** 2).sum(axis=1)
    best: dict[tuple[int, int], int] = {}
    for number in np.argsort(off, kind="stable"):
        best.setdefault((int(cell[number, 0]), int(cell[number, 1])), int(number))
    return sorted((number, column, cells - 1 - row) for (column, row), number in best.items())


def _by_network(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp], progress: Progress) -> npt.NDArray[np.float32]:
    classifier = load(MODEL)
    parts = []
    progress(_STAGE, 0, len(rows))
    for start in range(0, len(rows), _BATCH):
        block = np.ascontiguousarray(pixels[rows[start : start + _BATCH]])
        parts.append(classifier.run(block, wanted=("features",))["features"])
        progress(_STAGE, min(start + _BATCH, len(rows)), len(rows))
    return np.concatenate(parts)
