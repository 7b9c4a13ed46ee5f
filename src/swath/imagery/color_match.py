"""Match the channels of a scene to those a model was trained on: one gain and one offset per band for all of it.

Two renderings of the same land differ by an atmosphere and a stretch, which are nearly linear in each band (a
signal of the ground, scaled by the transmittance, and a path radiance added to it: Vermote et al. 1997, IEEE
TGRS 35, 675-686). Two different landscapes differ in their channels as well, and that must not be removed.
So a scene is matched only if pixels lie *outside* the range of the training patches. Of 400 groups of 25
EuroSAT patches of a single class none had more than 16 % of a band's pixels outside the range between the
0.5 % and 99.5 % quantiles of all classes (dark water; the next class 8 %), of 150 random mixtures none more than
7 %; all the way from a top-of-atmosphere to a surface rendering, 95 % of the mixtures had more than 34 %.

The match anchors the dark end: the 2 % quantile, mostly water, shadow and dense plants, differs less between
landscapes than any other. Of the spread above it only the square root of the ratio is corrected, as the landscape
causes about as much of it as the rendering. On mixtures of validation patches under the full shift that left an
accuracy of 0.943, the whole spread 0.938, all quantiles by least squares 0.927, the median alone 0.912, mean
and standard deviation 0.934, and nothing 0.26; without any shift, where matching can only harm, none did less
harm. All of these are made by benchmarks/color_match_rule.py. Everything depends on quantiles of the whole
scene, never on a single patch or the brightest pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.imagery.rescaling import Rescaling

LEVELS = (0.005, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.995)
FAR = 0.2  # share of a band's pixels outside the training range above which a scene is rendered differently
ENOUGH = 25 * 64 * 64  # pixels that the rule was tested with; fewer are no scene
_DARK, _BRIGHT = 0.02, 0.9
_PATCHES = 4000
_LIMIT = 2.0  # spreads are taken to differ by this factor at most

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of bands.

    Attributes
    ----------
    levels : tuple of float
        Rising, between 0 and 1.
    values : tuple of tuple of float
        One row per band, one value per level, in units of the pixels.
    """

    levels: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, level: float) -> Floats:
        """Value of each band ``[bands]`` at one level, interpolated linearly."""
        return np.array([np.interp(level, self.levels, row) for row in self.values])


@dataclass(frozen=True)
class Comparison:
    """A scene compared with the training patches.

    Attributes
    ----------
    outside : tuple of float
        For each band, the share of the scene's pixels outside the training range.
    below : tuple of float
        For each band, the part of that share which lies below the range.
    quantiles : Quantiles
        The scene's own.
    pixels : int
        Pixels compared, without clouds and saturated ones.
    """

    outside: tuple[float, ...]
    below: tuple[float, ...]
    quantiles: Quantiles
    pixels: int

    @property
    def far(self) -> bool:
        """Whether the scene is rendered differently from the training patches."""
        return max(self.outside) > FAR


def measure_quantiles(pixels: npt.NDArray[Any], *, levels: Sequence[float] = LEVELS) -> Quantiles:
    """Quantiles of pixels ``[bands, n]``, n at least 1."""
    values = np.quantile(pixels, levels, axis=1).T
    return Quantiles(tuple(levels), tuple(tuple(float(v) for v in row) for row in values))


def patch_quantiles(pixels: npt.NDArray[Any]) -> Quantiles:
    """Quantiles of training patches ``[N, bands, P, P]``: what a model file keeps of them.

    Of more than 4,000 patches every k-th is taken: the quantiles are known to a level then.
    """
    some = np.asarray(pixels[:: -(-len(pixels) // _PATCHES)])
    return measure_quantiles(np.moveaxis(some, 1, 0).reshape(some.shape[1], -1))


def clear_pixels(pixels: npt.NDArray[Any], training: Quantiles) -> npt.NDArray[Any]:
    """Leave out pixels that do not show the ground: no data, saturated, and bright clouds.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, n]``, uint8 or uint16.
    training : Quantiles
        A pixel that is in every band as bright as the brightest of these is taken for a cloud.

    Returns
    -------
    numpy.ndarray
        ``[bands, m]``.
    """
    top = np.iinfo(pixels.dtype).max
    bright = np.array([row[-1] for row in training.values])[:, None]
    left = pixels.any(axis=0) & (pixels < top).all(axis=0) & ~(pixels >= bright).all(axis=0)
    return pixels if left.all() else pixels[:, left]


def compare(pixels: npt.NDArray[Any], training: Quantiles) -> Comparison | None:
    """Compare pixels ``[bands, n]`` of a whole scene with the training patches; None if none is clear."""
    clear = clear_pixels(pixels, training)
    if not clear.shape[1]:
        return None
    low, high = (np.array([row[end] for row in training.values])[:, None] for end in (0, -1))
    below, above = (clear < low).mean(axis=1), (clear > high).mean(axis=1)
    return Comparison(
        outside=tuple((below + above).tolist()),
        below=tuple(below.tolist()),
        quantiles=measure_quantiles(clear, levels=training.levels),
        pixels=clear.shape[1],
    )


def match(scene: Quantiles, training: Quantiles, *, data_type: str = "uint8") -> Rescaling:
    """The rescaling that brings a scene's channels to the training patches'.

    With the 2 % and 90 % quantiles ``d`` and ``b`` of each band, the gain is the square root of
    ``(b_training - d_training) / (b_scene - d_scene)``, that ratio kept between 1/2 and 2, and the offset
    takes ``d_scene`` to ``d_training``. A band without spread is only moved.
    """
    dark, wanted = scene.at(_DARK), training.at(_DARK)
    spread, usual = scene.at(_BRIGHT) - dark, training.at(_BRIGHT) - wanted
    known = (spread > 0) & (usual > 0)
    ratio = np.where(known, usual / np.where(known, spread, 1.0), 1.0)
    gain = np.sqrt(np.clip(ratio, 1 / _LIMIT, _LIMIT))
    offset = wanted - gain * dark
    return Rescaling(
        tuple(round(float(g), 4) for g in gain), tuple(round(float(o), 3) for o in offset), data_type=data_type
    )
