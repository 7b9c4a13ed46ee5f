"""Features of patches that need no network: color statistics, those of the baseline every network must beat, and the
texture that separates the patches of a sensor from other pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from swath.errors import DataError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BLOCK_VALUES = 2**20
SCALES = 4  # details of 1, 2, 4 and 8 pixels
SMALLEST = 2**SCALES  # pixels a side
_STEP = 0.25  # variance below which rounding hides everything
Floats = npt.NDArray[Any]  # float32, which numpy does not keep track of
# Means ``[m, bands]``, over patches or windows, of arrays ``[n, bands, h, w]`` times others, after so many halvings.
MeanProduct = Callable[[Floats, Floats | None, int], Floats]


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
    ranks = _ranks(flat.shape[2])
    if flat.dtype == np.uint8:  # counting is four times as fast where there are 256 values
        rows = flat.reshape(-1, flat.shape[2]) + 256 * np.arange(n * bands)[:, None]
        counts = np.bincount(rows.ravel(), minlength=256 * n * bands)
        ranked = _counted(counts.reshape(n, bands, 256), ranks)
    else:
        ranked = np.partition(flat, sorted(set(ranks)), axis=2)[:, :, ranks]
    return _colors(flat.mean(axis=2, dtype=np.float64), flat.std(axis=2, dtype=np.float64), ranked)


def _ranks(count: int) -> list[int]:
    """Nearest ranks of the quantiles of so many pixels: values that occur."""
    return [round(q * (count - 1)) for q in QUANTILES]


def _counted(counts: npt.NDArray[Any], ranks: list[int]) -> npt.NDArray[np.intp]:
    """The values ``[..., R]`` at these ranks of pixels, `counts` ``[..., 256]`` of which have each value."""
    upto = counts.ravel().cumsum(dtype=np.int64)
    rows = np.arange(upto.size // 256)[:, None]
    each = upto[-1] // len(rows)
    # The value is the number of values whose pixels do not reach the rank, the pixels of the rows before included.
    found = np.searchsorted(upto, rows * each + ranks, side="right") - 256 * rows
    return np.asarray(found.reshape(*counts.shape[:-1], len(ranks)), np.intp)


def _colors(
    mean: npt.NDArray[np.float64], sd: npt.NDArray[np.float64], ranked: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Columns of :func:`color_features` of means and deviations ``[n, bands]`` and quantiles ``[n, bands, Q]``."""
    bands = mean.shape[1]
    quantiles = ranked.astype(np.float64)
    total = mean.sum(axis=1, keepdims=True)
    share = np.divide(mean, total, out=np.full_like(mean, 1 / bands), where=total > 0)
    first, second = np.triu_indices(bands, k=1)
    both = mean[:, first] + mean[:, second]
    difference = np.divide(mean[:, first] - mean[:, second], both, out=np.zeros_like(both), where=both > 0)
    return np.concatenate([mean, sd, *np.moveaxis(quantiles, 2, 0), share, difference], axis=1)


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
    def mean_product(one: Floats, other: Floats | None, _: int) -> Floats:
        if other is None:
            return np.asarray(one.mean(axis=(2, 3), dtype=np.float64))
        count = one.shape[2] * one.shape[3]
        flat, second = (values.reshape(*values.shape[:2], count) for values in (one, other))
        return np.asarray(np.einsum("nbp,nbp->nb", flat, second) / count)

    return _texture(pixels, mean_product)


def _texture(pixels: npt.NDArray[Any], mean: MeanProduct) -> npt.NDArray[np.float64]:
    """Columns of :func:`texture_features`, of patches or of windows as `mean` takes its means."""
    left: Floats = pixels.astype(np.float32)
    parts = [np.log(mean(left, None, 0) + 4)]
    for scale in range(1, SCALES + 1):
        height, width = (side // 2 * 2 for side in left.shape[2:])
        a, b = left[:, :, :height:2, :width:2], left[:, :, :height:2, 1:width:2]
        c, d = left[:, :, 1:height:2, :width:2], left[:, :, 1:height:2, 1:width:2]
        top, bottom, over, under = a + b, c + d, a - b, c - d
        across, down, diagonal = (over + under) / 4, (top - bottom) / 4, (over - under) / 4
        squares = (mean(across, across, scale) + mean(down, down, scale)) / 2
        products = (mean(across[:, 1:], across[:, :-1], scale) + mean(down[:, 1:], down[:, :-1], scale)) / 2
        parts += _variation(squares, products)
        parts.append(np.log(mean(diagonal, diagonal, scale).mean(axis=1) + _STEP)[:, None] / 2)
        left = (top + bottom) / 4
    left = left.astype(np.float64)  # squares of what is far from 0, less those of the mean
    center = mean(left, None, SCALES)
    squares = mean(left, left, SCALES) - center**2
    parts += _variation(squares, mean(left[:, 1:], left[:, :-1], SCALES) - center[:, 1:] * center[:, :-1])
    return np.concatenate(parts, axis=1).astype(np.float64)


def _variation(squares: Floats, products: Floats) -> list[Floats]:
    """Log standard deviation ``[n, bands]`` and correlation of neighboring bands ``[n, bands - 1]``."""
    variance = squares + np.float32(_STEP)
    return [np.log(variance) / 2, products / np.sqrt(variance[:, 1:] * variance[:, :-1])]


def window_textures(pixels: npt.NDArray[Any], *, size: int, stride: int) -> npt.NDArray[np.float64]:
    """:func:`texture_features` of every window of a scene, from one pyramid that all of them share.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, uint8 or uint16, with room for a window.
    size : int
        Side of the windows, pixels: 16 or more.
    stride : int
        Pixels from one window to the next, a multiple of 16: then each begins with a pixel of every scale, and
        halving a window gives a part of the halved scene, the same numbers.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns, F]`` float64, the window at ``(i, j)`` with its upper left pixel at
        ``(i x stride, j x stride)``.
    """
    rows, columns = ((side - size) // stride + 1 for side in pixels.shape[1:])

    def mean_product(one: Floats, other: Floats | None, scale: int) -> Floats:
        values = one if other is None else one * other
        side, step = size >> scale, stride >> scale
        down, across = (_sums(n, end, side, step) for n, end in zip((rows, columns), values.shape[2:], strict=True))
        sums = down.astype(values.dtype) @ values[0] @ across.astype(values.dtype).T
        return np.asarray(sums.reshape(len(sums), rows * columns).T / side**2)

    return _texture(pixels[None], mean_product).reshape(rows, columns, -1)


def _sums(windows: int, length: int, size: int, stride: int) -> npt.NDArray[np.bool_]:
    """The matrix ``[windows, length]`` that sums over windows of values along one axis."""
    offsets = np.arange(length) - stride * np.arange(windows)[:, None]
    return (offsets >= 0) & (offsets < size)


def window_colors(pixels: npt.NDArray[Any], *, size: int, stride: int) -> npt.NDArray[np.float64]:
    """:func:`color_features` of every window of a scene, from counts and sums that neighbors share.

    Pixels of 16 bits have too many values to be counted, so those of every window are ranked by themselves.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, uint8 or uint16, with room for a window.
    size, stride : int
        Side of the windows, and from one to the next, pixels.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns, F]`` float64, as of :func:`window_textures`.
    """
    bands = len(pixels)
    rows, columns = ((side - size) // stride + 1 for side in pixels.shape[1:])
    down, across = (
        _sums(n, end, size, stride).astype(np.float64) for n, end in zip((rows, columns), pixels.shape[1:], strict=True)
    )
    values = pixels.astype(np.float64)
    sums, squares = (np.moveaxis(down @ v @ across.T, 0, -1).reshape(-1, bands) for v in (values, values**2))
    # Whole numbers up to here; their difference is exact, as the deviation from the mean is.
    count = size**2
    sd = np.sqrt(np.maximum(count * squares - sums**2, 0)) / count
    tops = range(0, rows * stride, stride)
    rank = _rank_windows if pixels.dtype == np.uint8 else _partition_windows
    ranked = np.concatenate([rank(pixels[:, top : top + size], columns, size, stride) for top in tops])
    return _colors(sums / count, sd, ranked).reshape(rows, columns, -1)


def _rank_windows(strip: npt.NDArray[Any], windows: int, size: int, stride: int) -> npt.NDArray[Any]:
    """Quantiles ``[windows, bands, Q]`` of uint8 windows side by side, all of the strip's height."""
    bands, height, width = strip.shape
    starts = stride * np.arange(windows)
    edges = np.unique([starts, starts + size])
    # Values are counted between neighboring edges, and the counts between its own two are a window's.
    part = np.searchsorted(edges, np.arange(width), side="right")
    places = 256 * (bands * part + np.arange(bands)[:, None])[:, None] + strip
    counts = np.bincount(places.ravel(), minlength=256 * bands * (len(edges) + 1)).reshape(len(edges) + 1, -1)
    inside = (edges >= starts[:, None]) & (edges < starts[:, None] + size)
    held = inside.astype(np.float32) @ counts[1:].astype(np.float32)
    return _counted(held.reshape(windows, bands, 256), _ranks(height * size))


def _partition_windows(strip: npt.NDArray[Any], windows: int, size: int, stride: int) -> npt.NDArray[Any]:
    """As :func:`_rank_windows`, of values of any kind."""
    cut = sliding_window_view(strip, size, axis=2)[:, :, : windows * stride : stride]
    flat = cut.transpose(2, 0, 1, 3).reshape(windows, len(strip), -1)
    ranks = _ranks(flat.shape[2])
    return np.partition(flat, sorted(set(ranks)), axis=2)[:, :, ranks]
