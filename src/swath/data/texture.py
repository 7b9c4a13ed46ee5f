"""How patches vary from pixel to pixel: contrasts at several scales, and how the bands vary together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError

SCALES = 4  # details of 1, 2, 4 and 8 pixels
SMALLEST = 2**SCALES  # pixels a side
_BLOCK_VALUES = 2**20  # stays in the processor's cache: larger blocks take nearly three times as long
_STEP = 0.25  # variance below which rounding hides everything

Floats = npt.NDArray[Any]  # float32, which numpy does not keep track of


def texture_features(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Describe each patch by its contrasts.

    A Haar pyramid halves the patch four times. At each scale: the logarithm of the standard deviation of each
    band's horizontal and vertical details, that of the diagonal details of all bands, and the correlation of the
    details of neighbouring bands; the same of what is left at the end, without diagonals. Bands of one sensor
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
    if pixels.ndim != 4 or pixels.dtype not in (np.uint8, np.uint16) or min(pixels.shape[2:]) < SMALLEST:
        raise DataError(
            f"texture needs uint8 or uint16 pixels [N, bands, H, W] of {SMALLEST} x {SMALLEST} or more, "
            f"not {pixels.dtype} {list(pixels.shape)}"
        )
    block = max(1, _BLOCK_VALUES // int(np.prod(pixels.shape[1:])))
    parts = [_features(pixels[start : start + block]) for start in range(0, len(pixels), block)]
    bands = pixels.shape[1]
    empty = np.empty((0, bands + SCALES * 2 * bands + 2 * bands - 1))
    return np.concatenate(parts) if parts else empty


def _features(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
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
    """Log standard deviation ``[n, bands]`` and correlation of neighbouring bands ``[n, bands - 1]``."""
    flat = details.reshape(*details.shape[:2], -1)
    variance = np.einsum("nbp,nbp->nb", flat, flat) / flat.shape[2] + np.float32(_STEP)
    shared = np.einsum("nbp,nbp->nb", flat[:, 1:], flat[:, :-1]) / flat.shape[2]
    return [np.log(variance) / 2, shared / np.sqrt(variance[:, 1:] * variance[:, :-1])]
