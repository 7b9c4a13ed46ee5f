"""How large a pixel is on the ground, and so how many hectares a class covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_A = 6_378_137.0
_E2 = 6.69437999014e-3  # WGS 84: first eccentricity squared
_E = math.sqrt(_E2)


@dataclass(frozen=True)
class PixelArea:
    """Area of the pixels of a scene.

    Attributes
    ----------
    rows : numpy.ndarray
        float64 ``[height]``, square meters of one pixel in each row.
    across, down : float
        Meters along a row and down a column from one pixel to the next, in the middle of the scene.
    method : str
        How it was computed, for the record of a map.
    warning : str or None
        What to know before using the numbers.
    """

    rows: npt.NDArray[np.float64]
    across: float
    down: float
    method: str
    warning: str | None = None

    @property
    def side(self) -> float:
        """Meters along the side of a square as large as the middle pixel."""
        return math.sqrt(self.across * self.down)


def pixel_area(crs: Any, transform: Any, height: int) -> PixelArea | None:
    """Area of one pixel in every row of a scene.

    In a projected system it is the area in the plane of the projection, from the transform alone. In a
    geographic one it is the area on the WGS 84 ellipsoid between the row's two parallels, in closed form
    (Snyder 1987, Map Projections, eq. 3-12).

    Parameters
    ----------
    crs : rasterio.crs.CRS or None
        Coordinate reference system of the scene.
    transform : affine.Affine
        Pixels to coordinates.
    height : int
        Rows.

    Returns
    -------
    PixelArea or None
        None without a CRS, in one that is neither, and for a geographic grid that is not north up.
    """
    if not crs:
        return None
    if crs.is_projected:
        meters = crs.linear_units_factor[1]
        area = abs(transform.determinant) * meters**2
        mercator = crs.to_dict().get("proj") in {"merc", "webmerc"}
        across = math.hypot(transform.a, transform.d) * meters
        return PixelArea(
            np.full(height, area),
            across,
            area / across,
            "in the plane of the projection",
            "the Mercator projection enlarges areas away from the equator: for correct hectares, use a scene in "
            "UTM or an equal-area projection"
            if mercator
            else None,
        )
    if not crs.is_geographic or transform.b != 0 or transform.d != 0:
        return None
    radians = crs.units_factor[1]
    latitudes = (transform.f + transform.e * np.arange(height + 1)) * radians
    zones = np.abs(np.diff(zone_area(np.clip(latitudes, -math.pi / 2, math.pi / 2))))
    areas = zones * abs(transform.a) * radians
    middle = float(latitudes[height // 2] + latitudes[height // 2 + 1]) / 2
    parallel = _A * math.cos(middle) / math.sqrt(1 - _E2 * math.sin(middle) ** 2)
    across = max(parallel * abs(transform.a) * radians, 1e-9)
    return PixelArea(areas, across, float(areas[height // 2]) / across, "on the WGS 84 ellipsoid")


def zone_area(latitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Area between the equator and a latitude (radians) on WGS 84, square meters per radian of longitude."""
    sine = np.sin(latitude)
    whole = sine / (1 - _E2 * sine**2) + np.arctanh(_E * sine) / _E
    area: npt.NDArray[np.float64] = _A**2 * (1 - _E2) / 2 * whole
    return area
