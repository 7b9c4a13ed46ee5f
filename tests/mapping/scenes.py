"""Small scenes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine

UTM = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600_000, 0, -10, 5_400_000)}


def write_scene(path: Path, pixels: Any, *, names: Any = None, mask: Any = None, **options: Any) -> Path:
    """Write `pixels` ``[bands, H, W]``; `options` go to rasterio, ``crs=None`` for a scene without a place."""
    pixels = np.asarray(pixels)
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    if count == 3 and pixels.dtype == np.uint8:
        profile["photometric"] = "RGB"
    profile = {k: v for k, v in (profile | UTM | options).items() if v is not None}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
        if names:
            dataset.descriptions = names
        if mask is not None:
            dataset.write_mask(mask)
    return path
