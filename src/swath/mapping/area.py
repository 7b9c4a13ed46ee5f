"""How large a pixel is on the ground, and so how many hectares a class covers.

Areas are those on the ellipsoid of the scene's own reference system, never those in the plane of a projection: a
projection stretches the ground, Mercator at 60 degrees fourfold. In geographic coordinates they follow row by row in
closed form; for everything else the transform and the projection are differentiated at the middle of each block of
pixels.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as to_system

from swath.errors import DataError

_BLOCKS = 128  # along each side of a scene, at most; the size of pixels changes little within one
_ELLIPSOID = re.compile(r'(?:ELLIPSOID|SPHEROID)\["[^"]*",\s*([\d.eE+]+),\s*([\d.eE+]+)')
_TURNS = 2.0  # around the globe: more degrees than anybody writes longitudes with
_ROUNDING = 1e-6  # degrees past a pole that are an inaccuracy of the transform
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PixelArea:
    """Area of the pixels of a scene.

    Attributes
    ----------
    blocks : numpy.ndarray
        float64 ``[n, m]``, square meters of one pixel in each block of pixels; 0 where the projection leads to no
        place on the ground.
    block : tuple of int
        Rows and columns of a block.
    across, down : float
        Meters along a row and down a column from one pixel to the next, in the middle of the scene.
    method : str
        How it was computed, for the record of a map.
    """

    blocks: Floats
    block: tuple[int, int]
    across: float
    down: float
    method: str

    @property
    def side(self) -> float:
        """Meters along the side of a square as large as the middle pixel."""
        return math.sqrt(self.across * self.down)


def pixel_area(crs: Any, transform: Any, shape: tuple[int, int]) -> PixelArea:
    """Area of one pixel in every part of a scene.

    North up in geographic coordinates it is the area on the ellipsoid between the row's two parallels (Snyder 1987,
    Map Projections, eq. 3-12). In any other system it is the parallelogram that a pixel in the middle of each block
    spans on the ellipsoid.

    Parameters
    ----------
    crs : rasterio.crs.CRS or None
        Coordinate reference system of the scene.
    transform : affine.Affine
        Pixels to coordinates.
    shape : tuple of int
        Rows and columns of the scene.

    Returns
    -------
    PixelArea

    Raises
    ------
    DataError
        If the size of the pixels cannot be known: there is no CRS, it has no place on the globe, or the coordinates
        are not of its kind.
    """
    if not crs:
        raise DataError("the scene has no coordinate reference system")
    axes = _ellipsoid(crs)
    if axes is None:
        raise DataError("the scene's coordinate reference system has no place on the globe")
    if crs.is_geographic:
        _check_degrees(crs, transform, shape)
        # The parallels of a turned pole are no parallels of the ellipsoid.
        if transform.b == transform.d == 0 and "DERIVINGCONVERSION" not in crs.to_wkt(version="WKT2_2019"):
            return _between_parallels(crs, transform, shape[0], axes)
    return _by_blocks(crs, transform, shape, axes)


def _ellipsoid(crs: Any) -> tuple[float, float] | None:
    """Semi-major axis in meters and squared eccentricity; None for a system without an ellipsoid."""
    for version in ("WKT2_2019", "WKT1_GDAL"):
        try:
            found = _ELLIPSOID.search(crs.to_wkt(version=version))
        except RasterioError:
            continue
        if found is not None:
            inverse = float(found[2])
            flattening = 1 / inverse if inverse else 0.0
            return float(found[1]), flattening * (2 - flattening)
    return None


def _check_degrees(crs: Any, transform: Any, shape: tuple[int, int]) -> None:
    """Refuse coordinates that no latitude or longitude has: meters under the name of degrees."""
    degree = math.degrees(crs.units_factor[1])
    corners = [transform @ (c, r) for r in (0, shape[0]) for c in (0, shape[1])]
    x, y = (degree * np.array(values) for values in zip(*corners, strict=True))
    across = abs(transform.e) * degree  # a grid of whole degrees may end half a pixel past the pole
    if np.abs(y).max() > 90 + across / 2 + _ROUNDING or np.abs(x).max() > _TURNS * 360:
        raise DataError(
            f"the scene's coordinates (up to {np.abs(x).max():,.0f} and {np.abs(y).max():,.0f}) are not the degrees "
            f"that its reference system {crs.to_string()[:40]} has"
        )


def _between_parallels(crs: Any, transform: Any, height: int, axes: tuple[float, float]) -> PixelArea:
    radians = crs.units_factor[1]
    latitudes = np.clip((transform.f + transform.e * np.arange(height + 1)) * radians, -math.pi / 2, math.pi / 2)
    areas = np.abs(np.diff(zone_area(latitudes, axes))) * abs(transform.a) * radians
    middle = float(latitudes[height // 2] + latitudes[height // 2 + 1]) / 2
    parallel = axes[0] * math.cos(middle) / math.sqrt(1 - axes[1] * math.sin(middle) ** 2)
    across = max(parallel * abs(transform.a) * radians, 1e-9)
    down = float(areas[height // 2]) / across
    # One block from left to right: on a parallel all pixels are alike.
    return PixelArea(areas[:, None], (1, 2**62), across, down, "between parallels of the ellipsoid")


def _by_blocks(crs: Any, transform: Any, shape: tuple[int, int], axes: tuple[float, float]) -> PixelArea:
    block = (-(-shape[0] // _BLOCKS), -(-shape[1] // _BLOCKS))
    rows, columns = (
        (np.arange(0, n, size) + np.minimum(np.arange(size, n + size, size), n)) / 2
        for n, size in zip(shape, block, strict=True)
    )
    down, across = _steps(crs, transform, *np.meshgrid(rows, columns, indexing="ij"), axes)
    areas = np.linalg.norm(np.cross(across, down), axis=-1)
    known = np.isfinite(areas)
    if not known.any():
        raise DataError("the scene lies outside the part of the globe that its reference system covers")
    # In the middle of the scene, or as near to it as there is a place.
    middle = ((rows - shape[0] / 2) ** 2)[:, None] + ((columns - shape[1] / 2) ** 2)[None]
    at = np.unravel_index(np.argmin(np.where(known, middle, np.inf)), known.shape)
    width = float(np.linalg.norm(across[at]))
    return PixelArea(np.where(known, areas, 0.0), block, width, float(areas[at]) / width, "on the ellipsoid, by blocks")


def _steps(crs: Any, transform: Any, rows: Floats, columns: Floats, axes: tuple[float, float]) -> tuple[Floats, Floats]:
    """Meters in space from one row to the next, and from one column to the next: ``[n, m, 3]`` each."""
    a, e2 = axes
    # Longitude and latitude on the same ellipsoid: areas need no shift between datums, which could lack its grids.
    flattening = 1 - math.sqrt(1 - e2)
    globe = CRS.from_proj4(f"+proj=longlat +a={a!r} +f={flattening!r} +no_defs")
    half = 0.5
    ends = []
    for down, right in ((half, 0), (-half, 0), (0, half), (0, -half)):
        x, y = transform @ (columns + right, rows + down)
        lon, lat = (np.radians(values).reshape(rows.shape) for values in transformed(crs, globe, x.ravel(), y.ravel()))
        # In space rather than on the map: there is no date line and no pole in it.
        normal = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
        flat = normal * np.cos(lat)
        ends.append(np.stack([flat * np.cos(lon), flat * np.sin(lon), normal * (1 - e2) * np.sin(lat)], axis=-1))
    return ends[0] - ends[1], ends[2] - ends[3]


def transformed(crs: Any, target: Any, x: Floats, y: Floats) -> Floats:
    """Coordinates in another system, ``[2, n]``; NaN where they lead to no place."""
    try:
        found = np.array(to_system(crs, target, x.tolist(), y.tolist())[:2])
    except (RasterioError, CPLE_BaseError):
        # One point outside may spoil all: halves, down to those that are.
        if len(x) == 1:
            return np.full((2, 1), np.nan)
        half = len(x) // 2
        return np.concatenate(
            [transformed(crs, target, x[part], y[part]) for part in (np.s_[:half], np.s_[half:])], axis=1
        )
    found[:, ~np.isfinite(found).all(axis=0)] = np.nan
    return found


def zone_area(latitude: Floats, axes: tuple[float, float]) -> Floats:
    """Area between the equator and a latitude (radians), square meters per radian of longitude.

    `axes` are an ellipsoid's semi-major axis in meters and its squared eccentricity.
    """
    a, e2 = axes
    sine, e = np.sin(latitude), math.sqrt(e2)
    bulge = np.arctanh(e * sine) / e if e else sine
    area: Floats = a**2 * (1 - e2) / 2 * (sine / (1 - e2 * sine**2) + bulge)
    return area
