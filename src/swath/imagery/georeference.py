"""Where a raster lies: the center, ground sampling distance and footprint that its own georeference gives.

A file says its place by a coordinate reference system and a transform from pixels to coordinates. Everything is brought
to longitude and latitude on WGS 84; what a file does not say is not made up: :class:`Place` then names the problem.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

from swath.errors import DataError

LONGEST_EDGE = 90.0  # degrees; no shape on the globe follows from longer edges
DEVIATION = 0.1  # pixels by which a straight edge of a footprint may miss the true one
MOST_POINTS = 64  # per edge
_WGS84 = "EPSG:4326"
_A, _E2 = 6_378_137.0, 6.69437999014e-3  # WGS 84: semi-major axis in meters, first eccentricity squared
_POLYGON, _MULTIPOLYGON = 3, 6
Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Georeference:
    """What a raster file says of its place.

    Attributes
    ----------
    crs : str
        Coordinate reference system: ``EPSG:32632``, or WKT where it has no code.
    transform : tuple of float
        ``(a, b, c, d, e, f)``: pixel (column, row) lies at ``(a * column + b * row + c, d * column + e * row + f)``.
    width, height : int
        Pixels.
    problem : str
        Why it gives no place; empty where it does.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    problem: str = ""


@dataclass(frozen=True)
class Place:
    """Where a patch lies.

    Attributes
    ----------
    lon, lat : float or None
        Center, degrees on WGS 84.
    gsd : float or None
        Side of a square with the ground area of a pixel at the center, meters, four significant digits.
    crs : str or None
        As :attr:`Georeference.crs`.
    footprint : bytes or None
        Outline in longitude and latitude as a WKB polygon, counterclockwise; two polygons where it crosses the
        180th meridian.
    problem : str
        Why some of it is not known; empty where all is.
    """

    lon: float | None = None
    lat: float | None = None
    gsd: float | None = None
    crs: str | None = None
    footprint: bytes | None = None
    problem: str = ""


def georeference_of(dataset: Any) -> Georeference | None:
    """Georeference of an opened ``rasterio`` dataset; ``None`` where the file says nothing of a place."""
    crs, affine = dataset.crs, dataset.transform
    crs = crs if crs and (crs.is_projected or crs.is_geographic) else None  # a local system is no place on the globe
    there = not affine.is_identity
    values = tuple(float(value) for value in affine[:6])
    problem = ""
    if not there and dataset.gcps[0]:
        problem = "ground control points and no transform"
    elif there and not crs:
        problem = "a transform and no coordinate reference system"
    elif crs and not there:
        problem = "a coordinate reference system and no transform"
    elif there and (affine.determinant == 0 or not all(math.isfinite(value) for value in values)):
        problem = "a transform that makes pixels of no size"
    elif not there:
        return None
    name = _crs_name(crs.to_wkt()) if crs else ""
    a, b, c, d, e, f = values
    return Georeference(name, (a, b, c, d, e, f), dataset.width, dataset.height, problem)


@lru_cache(maxsize=256)
def _crs_name(wkt: str) -> str:
    code = CRS.from_wkt(wkt).to_epsg()
    return f"EPSG:{code}" if code else wkt


def places_of(georeferences: Sequence[Georeference | None]) -> list[Place | None]:
    """Place of each patch, ``None`` where its file says nothing; all patches of one CRS are computed at once."""
    places: list[Place | None] = [None] * len(georeferences)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(georeferences):
        if one is not None and one.problem:
            places[row] = Place(problem=one.problem)
        elif one is not None:
            rows[one.crs].append(row)
    for crs, members in rows.items():
        found = _places([one for row in members if (one := georeferences[row]) is not None], crs)
        for row, place in zip(members, found, strict=True):
            places[row] = place
    return places


def _places(patches: Sequence[Georeference], crs: str) -> list[Place]:
    """Places of patches of one CRS."""
    coefficients = np.array([one.transform for one in patches])
    sizes = np.array([(one.width, one.height) for one in patches], np.float64)
    coarse = _outline(2)  # corners and middles of edges
    around = _to_lonlat(crs, coefficients, sizes, np.concatenate([coarse, [[0.5, 0.5]]]))
    on_globe = np.isfinite(around).all(axis=2) & (np.abs(around[:, :, 1]) <= 90 + 1e-9)
    sound: npt.NDArray[np.bool_] = np.all(on_globe, axis=1)
    around = np.where(sound[:, None, None], around, 0.0)
    points = _on_ellipsoid(around)
    across, down = points[:, 3] - points[:, 7], points[:, 5] - points[:, 1]  # between the middles of opposite edges
    area = np.linalg.norm(np.cross(across, down), axis=1) / (sizes[:, 0] * sizes[:, 1])
    gsd = np.sqrt(area)
    # A straight edge in longitude and latitude misses the middle of the true one by this many pixels.
    miss = _edge_deviation(around[:, :8], points[:, 1:8:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.ceil(np.sqrt(miss.max(axis=1) / gsd / DEVIATION))
    counts = np.clip(np.nan_to_num(needed, nan=1, posinf=MOST_POINTS), 1, MOST_POINTS).astype(int)
    counts = 2 ** np.ceil(np.log2(counts)).astype(int)  # few different numbers, each computed at once
    rings: list[Ring] = [around[row, 0:8:2] for row in range(len(patches))]
    for count in sorted({*counts[sound].tolist()} - {1}):
        finer = np.flatnonzero(sound & (counts == count))
        dense = _to_lonlat(crs, coefficients[finer], sizes[finer], _outline(count))
        for row, ring in zip(finer.tolist(), dense, strict=True):
            rings[row] = ring
    return [
        _place(crs, around[row, 8], float(gsd[row]), rings[row])
        if sound[row]
        else Place(problem="coordinates outside the area of their coordinate reference system")
        for row in range(len(patches))
    ]


def _outline(count: int) -> npt.NDArray[np.float64]:
    """Points on the outline of the unit square, `count` per edge, from the upper left corner clockwise."""
    steps = np.arange(count) / count
    zero, one = np.zeros(count), np.ones(count)
    edges = [(steps, zero), (one, steps), (1 - steps, one), (zero, 1 - steps)]
    return np.concatenate([np.stack(edge, axis=1) for edge in edges])


def _to_lonlat(
    crs: str, coefficients: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], unit: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Longitude and latitude ``[N, points, 2]`` of points of the unit square; not finite where there are none."""
    columns, rows = sizes[:, :1] * unit[:, 0], sizes[:, 1:] * unit[:, 1]
    a, b, c, d, e, f = (coefficients[:, k : k + 1] for k in range(6))
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    return _transformed(crs, x, y)


def _transformed(crs: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    try:
        lon, lat = transform_points(CRS.from_string(crs), _WGS84, x.ravel(), y.ravel())
    except (RasterioError, ValueError):
        if len(x) == 1:
            return np.full((*x.shape, 2), np.nan)
        return np.concatenate([_transformed(crs, x[row : row + 1], y[row : row + 1]) for row in range(len(x))])
    found = np.stack([np.asarray(lon, np.float64), np.asarray(lat, np.float64)], axis=-1)
    return found.reshape(*x.shape, 2)


def _on_ellipsoid(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Earth-centered coordinates in meters of points on the WGS 84 ellipsoid, ``[..., 3]``."""
    lon, lat = np.radians(lonlat[..., 0]), np.radians(lonlat[..., 1])
    radius = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    xyz = (np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), (1 - _E2) * np.sin(lat))
    return np.stack([radius * part for part in xyz], axis=-1)


def _edge_deviation(lonlat: npt.NDArray[np.float64], middles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Meters ``[N, 4]`` between the middle of each edge and that of the line between its corners in degrees."""
    start, end = lonlat[:, 0:8:2], lonlat[:, [2, 4, 6, 0]]
    turn = (end[..., 0] - start[..., 0] + 180) % 360 - 180
    line = np.stack([start[..., 0] + turn / 2, (start[..., 1] + end[..., 1]) / 2], axis=-1)
    deviation: npt.NDArray[np.float64] = np.linalg.norm(_on_ellipsoid(line) - middles, axis=2)
    return deviation


def _place(crs: str, center: npt.NDArray[np.float64], gsd: float, ring: Ring) -> Place:
    lon, lat = _wrapped(float(center[0])), float(np.clip(center[1], -90, 90))
    rounded = float(f"{gsd:.4g}") if gsd > 0 else None
    try:
        footprint = encode_footprint(_parts(ring))
        problem = ""
    except DataError as error:
        footprint, problem = None, error.problem
    return Place(round(lon, 9), round(lat, 9), rounded, crs, footprint, problem)


def _wrapped(lon: float) -> float:
    return lon if -180 <= lon <= 180 else (lon + 180) % 360 - 180


def _parts(ring: Ring) -> list[Ring]:
    """A ring in longitudes from -180 to 180, in two parts where it crosses the 180th meridian."""
    steps = (np.diff(ring[:, 0], append=ring[0, 0]) + 180) % 360 - 180
    if np.abs(steps).max() > LONGEST_EDGE:
        raise DataError("an outline too large for a shape on the globe")
    if abs(steps.sum()) > 180:
        raise DataError("an outline around a pole")
    lon = _wrapped(float(ring[0, 0])) + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    whole = np.stack([lon, np.clip(ring[:, 1], -90, 90)], axis=1)
    low, high = float(lon.min()), float(lon.max())
    if low >= -180 and high <= 180:
        return [whole]
    shift = 360.0 if high > 180 else -360.0
    edge = 180.0 if high > 180 else -180.0
    inside = _cut(whole, edge, keep_above=high <= 180)
    outside = _cut(whole, edge, keep_above=high > 180) - [shift, 0]
    return [part for part in (inside, outside) if len(part) >= 3]


def _cut(ring: Ring, lon: float, *, keep_above: bool) -> Ring:
    """The part of a ring on one side of a meridian."""
    kept: list[tuple[float, float]] = []
    for (x1, y1), (x2, y2) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        first, second = (x1 >= lon, x2 >= lon) if keep_above else (x1 <= lon, x2 <= lon)
        if first:
            kept.append((x1, y1))
        if first != second and x1 != x2:
            kept.append((lon, y1 + (y2 - y1) * (lon - x1) / (x2 - x1)))
    return np.array(kept).reshape(-1, 2)


def encode_footprint(parts: Sequence[Ring]) -> bytes:
    """WKB of one polygon, or of several as one multipolygon; rings ``[n, 2]`` are closed and made counterclockwise.

    See OGC 06-103r4, section 8.
    """
    polygons = []
    for part in parts:
        x, y = part[:, 0], part[:, 1]
        turn = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
        ring = part if turn >= 0 else part[::-1]
        closed = np.concatenate([ring, ring[:1]])
        polygons.append(struct.pack("<BIII", 1, _POLYGON, 1, len(closed)) + closed.astype("<f8").tobytes())
    if len(polygons) == 1:
        return polygons[0]
    return struct.pack("<BII", 1, _MULTIPOLYGON, len(polygons)) + b"".join(polygons)


def decode_footprint(wkb: bytes) -> list[Ring]:
    """Outer rings ``[n, 2]`` of a WKB polygon or multipolygon in longitude and latitude, not closed.

    Raises
    ------
    DataError
        If it is neither, has holes, fewer than three corners, or leaves the globe.
    """
    try:
        rings, end = _read_polygons(wkb)
        if end != len(wkb) or not rings:
            raise ValueError
    except (struct.error, ValueError, IndexError):
        raise DataError(
            "a footprint is not a WKB polygon in longitude and latitude", fix="leave the column footprint out"
        ) from None
    return rings


def _read_polygons(wkb: bytes) -> tuple[list[Ring], int]:
    order = "<" if wkb[0] == 1 else ">"
    kind, count = struct.unpack_from(f"{order}II", wkb, 1)
    if kind == _POLYGON:
        ring, end = _read_ring(wkb, 0)
        return [ring], end
    if kind != _MULTIPOLYGON or count > len(wkb):
        raise ValueError
    rings, at = [], 9
    for _ in range(count):
        ring, at = _read_ring(wkb, at)
        rings.append(ring)
    return rings, at


def _read_ring(wkb: bytes, at: int) -> tuple[Ring, int]:
    order = "<" if wkb[at] == 1 else ">"
    kind, rings, points = struct.unpack_from(f"{order}III", wkb, at + 1)
    if kind != _POLYGON or rings != 1 or points < 4 or at + 13 + 16 * points > len(wkb):
        raise ValueError
    ring = np.frombuffer(wkb, f"{order}f8", 2 * points, at + 13).reshape(points, 2).astype(np.float64)
    if not np.isfinite(ring).all() or (np.abs(ring) > (180.0 + 1e-9, 90.0 + 1e-9)).any():
        raise ValueError
    return ring[:-1], at + 13 + 16 * points
