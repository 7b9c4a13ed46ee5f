"""Mean and standard deviation of each band, over all patches and by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LIMIT = 20_000  # patches measured at most: a mean over these is known to a hundredth of a level
SEED = 0
_BLOCK = 512


@dataclass(frozen=True)
class Channels:
    """Statistics of bands, in units of the pixels.

    Attributes
    ----------
    bands : tuple of str
        Names of the bands.
    mean, sd : tuple of float
        Over all pixels of all patches measured, one value a band.
    by_class : mapping of str to tuple of float
        Mean of each band, of each class measured.
    patches : int
        How many patches were measured: all, or 20,000 drawn at random with seed 0.
    side : int
        Side in pixels they had been brought to.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    by_class: Mapping[str, tuple[float, ...]]
    patches: int
    side: int


def measure_channels(
    pixels: npt.NDArray[Any], labels: Sequence[str], *, bands: Sequence[str], limit: int = LIMIT
) -> Channels:
    """Measure the bands of patches.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``, N at least 1; may be mapped from disk.
    labels : sequence of str
        Label of each patch.
    bands : sequence of str
        Names of the bands.
    limit : int
        Patches measured at most.
    """
    n = len(pixels)
    rows = np.arange(n)
    if n > limit:
        rows = np.sort(np.random.default_rng(SEED).choice(n, limit, replace=False))
    means = np.empty((len(rows), len(bands)))
    squares = np.empty((len(rows), len(bands)))
    for start in range(0, len(rows), _BLOCK):
        block = pixels[rows[start : start + _BLOCK]].reshape(-1, len(bands), pixels[0, 0].size)
        means[start : start + _BLOCK] = block.mean(axis=2, dtype=np.float64)
        variance = block.var(axis=2, dtype=np.float64)
        squares[start : start + _BLOCK] = variance + means[start : start + _BLOCK] ** 2
    overall = means.mean(axis=0)
    variance = squares.mean(axis=0) - overall**2
    classes = np.array([labels[int(row)] for row in rows])
    return Channels(
        bands=tuple(bands),
        mean=tuple(round(float(value), 3) for value in overall),
        sd=tuple(round(math.sqrt(max(0.0, value)), 3) for value in variance),
        by_class={
            str(label): tuple(round(float(v), 3) for v in means[classes == label].mean(axis=0))
            for label in np.unique(classes)
        },
        patches=len(rows),
        side=pixels.shape[-1],
    )
