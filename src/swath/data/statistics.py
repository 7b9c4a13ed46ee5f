"""Features of patches that need no network: color statistics, those of the baseline every network must beat, and the
texture that separates the patches of a sensor from other pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BLOCK_VALUES = 2**20
SCALES = 4  # details of 1, 2, 4 and 8 pixels
SMALLEST = 2**SCALES  # pixels a side
_STEP = 0.25  # variance below which rounding hides everything
Floats = npt.NDArray[Any]  # float32, which numpy does not keep track of


def color_features(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Describe each patch by its colors alone, wherever in the patch they are.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, uint8 or uint16.

    Returns
    -------
    numpy.ndarray
        ``[N, F]`` float64, columns as :func:`color_feature_names` names them. For each band its mean,
        standard deviation and quantiles, in units of the pixels (a quantile is the value of the
        pixel at that rank), and its share in the sum of the band means; for each pair of bands the
        normalized difference of their means. Shares of a black patch are equal, its differences 0.

    Raises
    ------
    DataError
        If `pixels` is not such an array.
    """
    return _in_blocks(_color_block, pixels, what="color statistics", smallest=1)


def color_feature_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of :func:`color_features` for patches of these bands."""
    statistics = ("mean", "sd", *(f"q{round(100 * q):02d}" for q in QUANTILES))
    return (
        *(f"{statistic}_{band}" for statistic in statistics for band in bands),
        *(f"share_{band}" for band in bands),
        *(f"difference_{a}_{b}" for a, b in combinations(bands, 2)),
    )


def _in_blocks(
    describe: Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]],
    pixels: npt.NDArray[Any],
    *,
    what: str,
    smallest: int,
) -> npt.NDArray[np.float64]:
    """Describe patches a block at a time, so that memory stays small whatever their number and size."""
    shape = pixels.shape
    if pixels.ndim != 4 or pixels.dtype not in (np.uint8, np.uint16) or not shape[1] or min(shape[2:]) < smallest:
        raise DataError(
            f"{what} needs uint8 or uint16 pixels [N, bands, H, W] of {smallest} x {smallest} or more, "
            f"not {pixels.dtype} {list(shape)}"
        )
    block = max(1, _BLOCK_VALUES // int(np.prod(shape[1:])))
    parts = [describe(pixels[start : start + block]) for start in range(0, len(pixels), block)]
    return np.concatenate(parts) if parts else describe(np.zeros((1, *shape[1:]), pixels.dtype))[:0]


def _color_block(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    n, bands = pixels.shape[:2]
    flat = pixels.reshape(n, bands, -1)
    mean = flat.mean(axis=2, dtype=np.float64)
    sd = flat.std(axis=2, dtype=np.float64)
    # Nearest rank: values that occur.
    quantiles = _ranked(flat, [round(q * (flat.shape[2] - 1)) for q in QUANTILES]).astype(np.float64)
    total = mean.sum(axis=1, keepdims=True)
    share = np.divide(mean, total, out=np.full_like(mean, 1 / bands), where=total > 0)
    first, second = np.triu_indices(bands, k=1)
    both = mean[:, first] + mean[:, second]
    difference = np.divide(mean[:, first] - mean[:, second], both, out=np.zeros_like(both), where=both > 0)
    return np.concatenate([mean, sd, *np.moveaxis(quantiles, 2, 0), share, difference], axis=1)


def _ranked(flat: npt.NDArray[Any], ranks: list[int]) -> npt.NDArray[Any]:
    """The values ``[n, bands, R]`` at these ranks of the pixels ``[n, bands, P]``."""
    if flat.dtype != np.uint8:
        return np.partition(flat, sorted(set(ranks)), axis=2)[:, :, ranks]
    # Counting is four times as fast where there are 256 values: the value is the number of values up to the rank.
    rows = flat.reshape(-1, flat.shape[2])
    shifted = rows + 256 * np.arange(len(rows))[:, None]
    upto = np.bincount(shifted.ravel(), minlength=256 * len(rows)).reshape(-1, 256).cumsum(axis=1)
    found = np.stack([(upto <= rank).sum(axis=1) for rank in ranks], axis=1)
    return found.reshape(*flat.shape[:2], len(ranks))


def texture_features(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Describe each patch by its texture.

    A Haar pyramid halves the patch four times. At each scale: the logarithm of the standard deviation of each
    band's horizontal and vertical details, that of the diagonal details of all bands, and the correlation of the
    details of neighboring bands; the same of the remaining coarse patch, without diagonals. Bands of one sensor
    in one atmosphere vary together in a way that another order of bands, other optics or a photograph do not.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, uint8 or uint16, sides of 16 pixels or more.

    Returns
    -------
    numpy.ndarray
        ``[N, 11 bands - 1]`` float64.

    Raises
    ------
    DataError
        If `pixels` is not such an array.
    """
    return _in_blocks(_texture_block, pixels, what="texture", smallest=SMALLEST)


def _texture_block(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    left: Floats = pixels.astype(np.float32)
    parts = [np.log(left.mean(axis=(2, 3)) + 4)]
    for _ in range(SCALES):
        height, width = (side // 2 * 2 for side in left.shape[2:])
        a, b = left[:, :, :height:2, :width:2], left[:, :, :height:2, 1:width:2]
        c, d = left[:, :, 1:height:2, :width:2], left[:, :, 1:height:2, 1:width:2]
        top, bottom, over, under = a + b, c + d, a - b, c - d
        details = np.concatenate([over + under, top - bottom], axis=2) / 4
        diagonal = (over - under) / 4
        parts += _variation(details)
        parts.append(np.log((diagonal**2).mean(axis=(1, 2, 3)) + _STEP)[:, None] / 2)
        left = (top + bottom) / 4
    parts += _variation(left - left.mean(axis=(2, 3), keepdims=True))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _variation(details: Floats) -> list[Floats]:
    """Log standard deviation ``[n, bands]`` and correlation of neighboring bands ``[n, bands - 1]``."""
    flat = details.reshape(*details.shape[:2], -1)
    variance = np.einsum("nbp,nbp->nb", flat, flat) / flat.shape[2] + np.float32(_STEP)
    shared = np.einsum("nbp,nbp->nb", flat[:, 1:], flat[:, :-1]) / flat.shape[2]
    return [np.log(variance) / 2, shared / np.sqrt(variance[:, 1:] * variance[:, :-1])]
