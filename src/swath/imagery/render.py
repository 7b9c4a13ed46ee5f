"""Reflectance to the 8-bit rendering EuroSAT's pictures were made with."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError


def render_reflectance(
    pixels: npt.NDArray[Any], *, low: float = 0, high: float = 2750, nodata: float | None = 0
) -> npt.NDArray[np.uint8]:
    """Clip values to `low`..`high` and stretch them linearly to 1..255; 0 is no data.

    The defaults are EuroSAT's own rendering of Sentinel-2 L1C reflectance x 10 000 (Helber et al.
    2019). A value ``v`` becomes ``1 + 254 (v - low) / (high - low)``, computed in float64 and rounded
    to the nearest integer, halves upwards as GDAL does (with the defaults no integer meets a half).

    Parameters
    ----------
    pixels : numpy.ndarray
        Any shape, any real type.
    low, high : float
        Values that become 1 and 255, in the units of `pixels`.
    nodata : float or None
        Value that becomes 0, band by band; None if every value is data. NaN always becomes 0.

    Returns
    -------
    numpy.ndarray
        uint8, the shape of `pixels`.

    Raises
    ------
    SettingError
        If `high` is not above `low`.
    """
    if not high > low:
        raise SettingError(f"cannot render values from {low} to {high}", fix="give a high above the low")
    if pixels.dtype in (np.uint8, np.uint16):
        rendered: npt.NDArray[np.uint8] = _table(pixels.dtype.name, low, high, nodata)[pixels]
        return rendered
    return _stretch(pixels, low, high, nodata)


@functools.lru_cache(maxsize=8)
def _table(dtype: str, low: float, high: float, nodata: float | None) -> npt.NDArray[np.uint8]:
    """Every value the type can hold, rendered: a scene is then one look-up a pixel."""
    values = np.arange(np.iinfo(dtype).max + 1)
    return _stretch(values, low, high, nodata)


def _stretch(
    values: npt.NDArray[Any], low: float, high: float, nodata: float | None
) -> npt.NDArray[np.uint8]:
    exact = values.astype(np.float64)
    empty = np.isnan(exact)
    if nodata is not None:
        empty |= exact == nodata
    exact[empty] = low
    stretched = 1 + (np.clip(exact, low, high) - low) * (254 / (high - low))
    rendered = np.floor(stretched + 0.5).astype(np.uint8)
    rendered[empty] = 0
    return rendered
