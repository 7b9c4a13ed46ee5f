"""Encode decoded pixels without loss: PNG where it can hold them, GeoTIFF for all else."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.io import MemoryFile

from swath.imagery.header import mode_name

_PNG_MODES = {"L", "LA", "RGB", "RGBA", "I;16"}


def encode_lossless(pixels: npt.NDArray[Any], bands: Sequence[str]) -> tuple[bytes, str]:
    """Encode one picture; the same pixels give the same bytes.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]`` uint8 or uint16.
    bands : sequence of str
        One name a band; a GeoTIFF keeps them as band descriptions.

    Returns
    -------
    tuple of bytes and str
        The file and its suffix, ``.png`` or ``.tif``.
    """
    if mode_name(str(pixels.dtype), tuple(bands)) in _PNG_MODES:
        stream = BytesIO()
        planes = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        Image.fromarray(planes).save(stream, "PNG")
        return stream.getvalue(), ".png"
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, compress="deflate", photometric="MINISBLACK") as dataset:
            dataset.write(pixels)
            dataset.descriptions = tuple(bands)
        return bytes(memory.read()), ".tif"
