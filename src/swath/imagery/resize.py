"""Resizing to a model's patch size, the same way the model file's own graph does it."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.errors import DataError

Unsigned = TypeVar("Unsigned", np.uint8, np.uint16)


def resize(pixels: npt.NDArray[Unsigned], size: int) -> npt.NDArray[Unsigned]:
    """Resize rows and columns to `size` by `size` pixels, bilinear with antialiasing.

    A triangle kernel as wide as the reduction, centered on half pixels, its weights made to sum to one at
    the edges, computed in float and rounded half to even: Pillow's ``BILINEAR`` on mode ``F``, and ONNX
    ``Resize`` (``mode=linear``, ``antialias=1``, ``exclude_outside=1``, ``half_pixel``) followed by
    ``Round``. The two agree within one digital number. Shape is not kept: a picture that is not square is
    squeezed.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[..., H, W]``, uint8 or uint16.
    size : int
        Rows and columns wanted, at least 1.

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
        raise DataError(
            f"{pixels.dtype} pixels cannot be resized", fix="convert the picture to uint8 or uint16"
        )
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
