"""Other sizes: to a model's patch size, as the model file's own graph resizes, and to a coarser sensor's pixels."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.errors import DataError, SettingError

Unsigned = TypeVar("Unsigned", np.uint8, np.uint16)

MTF = 0.3  # of a typical multispectral sensor at Nyquist
MIN_SIDE = 8  # pixels left; a patch of fewer shows no pattern


def resize(pixels: npt.NDArray[Unsigned], size: int) -> npt.NDArray[Unsigned]:
    """Resize rows and columns to `size` by `size` pixels, bilinear with antialiasing.

    A triangle kernel as wide as the reduction, centered on half pixels, its weights made to sum to one at
    the edges, computed in float and rounded half to even: Pillow's ``BILINEAR`` on mode ``F``, and ONNX
    ``Resize`` (``mode=linear``, ``antialias=1``, ``exclude_outside=1``, ``half_pixel``) followed by
    ``Round``. The two agree within one digital number. The aspect
    ratio is not kept: a picture that is not square is squeezed.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[..., H, W]``, uint8 or uint16.
    size : int
        Rows and columns of the result, at least 1.

    Returns
    -------
    numpy.ndarray
        ``[..., size, size]`` of the same type; `pixels` itself if it has that size already.

    Raises
    ------
    DataError
        If the type is another, or there is nothing to resize.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{pixels.dtype} pixels cannot be resized", fix="convert the picture to uint8 or uint16")
    height, width = pixels.shape[-2:]
    if min(height, width, size) < 1:
        raise DataError(f"cannot resize {width} x {height} pixels to {size} x {size}", fix="give at least 1")
    if (height, width) == (size, size):
        return pixels
    planes = pixels.reshape(-1, height, width)
    resized = np.empty((len(planes), size, size), pixels.dtype)
    for plane, target in zip(planes, resized, strict=True):
        target[...] = _resize_plane(plane, size)
    return resized.reshape(*pixels.shape[:-2], size, size)


def _resize_plane(plane: npt.NDArray[Any], size: int) -> npt.NDArray[np.float32]:
    image = Image.fromarray(plane.astype(np.float32))
    # A mean of values cannot leave their range, so rounding is all that is left to do.
    resized: npt.NDArray[np.float32] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.rint(resized)


def resample_to_gsd(
    pixels: npt.NDArray[Unsigned], *, gsd_from: float, gsd_to: float, sensor_blur: bool = True, mtf: float = MTF
) -> npt.NDArray[Unsigned]:
    """Resample pixels to a coarser ground sampling distance, blurred as by a sensor's point spread function.

    The point spread is a Gaussian whose modulation transfer function falls to `mtf` at the Nyquist
    frequency of the coarse pixels. From ``MTF(f) = exp(-2 pi^2 s^2 f^2)`` and ``f = 1 / (2 gsd_to)`` its
    standard deviation is ``s = gsd_to * sqrt(-2 ln mtf) / pi``, 0.49 coarse pixels for the usual 0.3. It also
    prevents aliasing. Values are rounded half to even, and constant areas do not change. The blur of the fine
    pixels is not removed: at four of them per coarse pixel it no longer matters.

    After Aiazzi et al. 2006, "MTF-tailored multiscale fusion of high-resolution MS and Pan imagery"; the 0.3
    is that of Vivone et al. 2015, "A critical comparison among pansharpening algorithms", for sensors without
    a stated one.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[..., H, W]``, uint8 or uint16.
    gsd_from, gsd_to : float
        Meters per pixel before and after. The sides become the nearest whole numbers of coarse pixels.
    sensor_blur : bool
        If false only the triangle filter of :func:`swath.imagery.resize`; patches must be square then.
    mtf : float
        Modulation at Nyquist, between 0 and 1.

    Returns
    -------
    numpy.ndarray
        ``[..., h, w]`` of the same type.

    Raises
    ------
    SettingError
        If `gsd_to` is not coarser than `gsd_from`, or `mtf` is not between 0 and 1.
    DataError
        If fewer than 8 pixels a side would be left, or the type is another.
    """
    if not 0 < mtf < 1:
        raise SettingError(f"a modulation of {mtf} at Nyquist is not between 0 and 1", fix="0.3 is usual")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{pixels.dtype} pixels cannot be resampled", fix="convert them to uint8 or uint16")
    height, width = (resampled_side(side, gsd_from=gsd_from, gsd_to=gsd_to) for side in pixels.shape[-2:])
    if not sensor_blur:
        if height != width or pixels.shape[-2] != pixels.shape[-1]:
            raise DataError("only square pictures are resampled without sensor blur", fix="leave the sensor blur on")
        return resize(pixels, height)
    down, across = _weights(pixels.shape[-2], height, mtf), _weights(pixels.shape[-1], width, mtf)
    # A mean of values cannot leave their range, so rounding is all that is left to do.
    coarse: npt.NDArray[Unsigned] = np.rint(down @ pixels.astype(np.float32) @ across.T).astype(pixels.dtype)
    return coarse


def resampled_side(side: int, *, gsd_from: float, gsd_to: float) -> int:
    """Pixels left of a side.

    Raises
    ------
    SettingError
        If `gsd_to` is not coarser than `gsd_from`.
    DataError
        If fewer than 8 are left.
    """
    if not (0 < gsd_from < gsd_to < math.inf):
        raise SettingError(f"{gsd_to:g} m per pixel is not coarser than {gsd_from:g} m", fix="give a larger target")
    left = round(side * gsd_from / gsd_to)
    if left < MIN_SIDE:
        raise DataError(
            f"{side} pixels of {gsd_from:g} m are {left} of {gsd_to:g} m, too few to show anything",
            fix=f"{side * gsd_from / 32:.3g} m leaves 32 pixels, and {MIN_SIDE} is the least",
        )
    return left


def _weights(side: int, left: int, mtf: float) -> npt.NDArray[np.float32]:
    """Weight of each fine pixel in each coarse one, ``[left, side]``; rows sum to one."""
    step = side / left
    spread = step * math.sqrt(-2 * math.log(mtf)) / math.pi
    center = (np.arange(left) + 0.5) * step - 0.5
    weights = np.exp(-0.5 * ((np.arange(side) - center[:, None]) / spread) ** 2)
    scaled: npt.NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return scaled
