"""Tiles of a finished map for web maps and QGIS: Web Mercator, in the map's own colors.

A pixel of a tile shows the class that lies under its middle: the raster is sampled once, straight onto the grid of the
tile, and not resampled on the way. Where the pixels of a tile are coarser than those of the map, the overview is
sampled that is just finer. All maps are answered at all zoom levels up to :data:`MAX_ZOOM`, for a client that is told
nothing but an address asks for any of them.
"""

from __future__ import annotations

import functools
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from morecantile import Tile
from PIL import Image
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.warp import transform_bounds
from rio_tiler.constants import WEB_MERCATOR_CRS, WEB_MERCATOR_TMS
from rio_tiler.reader import read

from swath.errors import DataError
from swath.mapping.area import pixel_area, transformed
from swath.mapping.legend import hatch
from swath.mapping.opening import ENVIRONMENT, use_own_proj_data
from swath.mapping.styles import confidence_color
from swath.service.intake import RefusedError

LayerName = Literal["classes", "confidence"]
SIDE = 256  # pixels of a tile
MAX_ZOOM = 24
_EQUATOR = 2 * math.pi * 6_378_137  # meters, of the sphere of Web Mercator
_NORTH = math.degrees(math.atan(math.sinh(math.pi)))  # where Web Mercator ends, degrees
_WGS84 = CRS.from_epsg(4326)
_FIT = 512  # pixels of a map that is looked at as a whole
_MARGIN = 0.05  # of the map's extent: bounds are computed from points along its edges
_RAMP = (0, 25, 50, 75, 100)
Pixels = npt.NDArray[np.uint8]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class TiledMap:
    """What has to be known of a map to draw its tiles; see :func:`read_map`.

    Attributes
    ----------
    model : str
        Name of the model that made it.
    rasters : dict of str to Path
        Files of ``classes``, ``confidence`` and, where the model detects it, ``ood``.
    overviews : tuple of int
        How many pixels of the map each way a pixel of each overview stands for, finest first.
    tables : dict of str to numpy.ndarray
        uint8 ``[256, 4]`` by layer, the color of every value.
    colors : dict of str to (dict of str to str)
        By layer, what the colors mean: ``{"Forest": "#228833"}``.
    bounds : tuple of float
        West, south, east, north, degrees. East is more than 180 for a map across the antimeridian.
    center : tuple of float
        Longitude and latitude of the middle.
    native_zoom : float
        Zoom level at which pixels of tiles are as large as those of the map.
    shifts : tuple of float
        What is added to the map's own longitudes: none, or whole turns that bring a part of it between -180 and 180.
    size : int
        Pixels of its longer side.
    """

    model: str
    rasters: dict[str, Path]
    overviews: tuple[int, ...]
    tables: dict[str, Pixels]
    colors: dict[str, dict[str, str]]
    bounds: Bounds
    center: tuple[float, float]
    native_zoom: float
    shifts: tuple[float, ...]
    size: int

    @property
    def max_zoom(self) -> int:
        """Zoom level beyond which tiles show nothing more."""
        return min(max(math.ceil(self.native_zoom - 0.01), 0), MAX_ZOOM)

    @property
    def fit_zoom(self) -> int:
        """Zoom level at which the whole map is on a small screen."""
        return max(0, self.max_zoom - math.ceil(math.log2(max(self.size / _FIT, 1))))

    def reaches(self, west: float, south: float, east: float, north: float) -> bool:
        """Whether the map may have something between these longitudes and latitudes."""
        left, low, right, high = self.bounds
        aside, above = _MARGIN * (right - left), _MARGIN * (high - low)
        return (
            south <= high + above
            and north >= low - above
            and any(west + turn <= right + aside and east + turn >= left - aside for turn in (-360, 0, 360))
        )


@functools.lru_cache(maxsize=64)
def read_map(record: Path) -> TiledMap:
    """Read what is known of a finished map.

    Parameters
    ----------
    record : pathlib.Path
        Its ``map.json``; the rasters lie next to it.

    Raises
    ------
    RefusedError
        409 if the map has no place on a web map, and why.
    """
    said = json.loads(record.read_text(encoding="utf-8"))
    files = {name: said["files"][name] for name in ("classes", "confidence", "ood")}
    rasters = {name: record.with_name(file) for name, file in files.items() if file is not None}
    # What a binary model does not look for lets the ground show, as in the map's page and style.
    hidden = 1 if said["model"]["task"] == "binary" else None
    shown = {entry["value"]: entry for entry in said["classes"] if entry["value"] != hidden}
    with _environment(), rasterio.open(rasters["classes"], driver="GTiff", sharing=False) as dataset:
        try:
            area = pixel_area(dataset.crs, dataset.transform, dataset.shape)
        except DataError as error:
            raise RefusedError(
                409, f"the map has no tiles: {error.problem}", fix="take map.tif, or send a scene with coordinates"
            ) from None
        bounds, center = _extent(dataset)
        middle = math.radians(min(max(center[1], -_NORTH), _NORTH))
        return TiledMap(
            model=said["model"]["name"],
            rasters=rasters,
            overviews=tuple(dataset.overviews(1)),
            tables={
                "classes": _table({value: entry["color"] for value, entry in shown.items()}),
                "confidence": _table({percent: confidence_color(percent) for percent in range(101)}),
            },
            colors={
                "classes": {entry["name"]: f"#{entry['color']}" for entry in shown.values()},
                "confidence": {f"{percent} %": f"#{confidence_color(percent)}" for percent in _RAMP},
            },
            bounds=bounds,
            center=center,
            native_zoom=math.log2(_EQUATOR * math.cos(middle) / SIDE / min(area.across, area.down)),
            shifts=_shifts(dataset),
            size=max(dataset.shape),
        )


def draw_tile(shown: TiledMap, zoom: int, x: int, y: int, *, layer: LayerName = "classes", side: int = SIDE) -> bytes:
    """Draw one tile: transparent where the map has nothing.

    Parameters
    ----------
    shown : TiledMap
        The map.
    zoom, x, y : int
        The tile, counted from the upper left corner of the world.
    layer : str
        ``classes``, hatched where the ground is unlike the training data, or ``confidence``.
    side : int
        Pixels of the tile.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    RefusedError
        404 if the grid has no such tile.
    """
    if not 0 <= zoom <= MAX_ZOOM or not 0 <= x < 2**zoom or not 0 <= y < 2**zoom:
        raise RefusedError(
            404, f"there is no tile {zoom}/{x}/{y}", fix=f"zoom levels are 0 to {MAX_ZOOM}, x and y below 2^zoom"
        )
    tile = Tile(x, y, zoom)
    if not shown.reaches(*WEB_MERCATOR_TMS.bounds(tile)):
        return _blank(side)
    values = _values(shown, layer, tile, side)
    image = shown.tables[layer][values]
    if layer == "classes" and "ood" in shown.rasters:
        hatch(image[..., :3], _values(shown, "ood", tile, side) == 1, start=(x + y) * side)
    return _png(image) if image[..., 3].any() else _blank(side)


def _values(shown: TiledMap, name: str, tile: Tile, side: int) -> Pixels:
    """The raster's values under the pixels of a tile, ``[side, side]``."""
    bounds = WEB_MERCATOR_TMS.xy_bounds(tile)
    step = (bounds.right - bounds.left) / side
    grid = {"transform": Affine(step, 0, bounds.left, 0, -step, bounds.top), "width": side, "height": side}
    coarser = 2 ** (shown.native_zoom - tile.z) * SIDE / side
    fitting = [level for level, factor in enumerate(shown.overviews) if factor <= coarser]
    chosen = {"overview_level": fitting[-1]} if fitting else {}
    found: Pixels | None = None
    with _environment(), rasterio.open(shown.rasters[name], driver="GTiff", sharing=False, **chosen) as dataset:
        for shift in shown.shifts:
            place = {} if not shift else {"src_transform": Affine.translation(shift, 0) @ dataset.transform}
            values = read(dataset, WEB_MERCATOR_CRS, vrt_options={**grid, **place}).array.data[0]
            found = values if found is None else np.where(found == dataset.nodata, values, found)
    assert found is not None  # noqa: S101  (there is always one shift)
    return found


def _extent(dataset: DatasetReader) -> tuple[Bounds, tuple[float, float]]:
    """Bounds and middle of a map, degrees; refuses one that lies beyond the edge of Web Mercator."""
    try:
        west, south, east, north = transform_bounds(dataset.crs, _WGS84, *_own_bounds(dataset), densify_pts=21)
    except (RasterioError, CPLE_BaseError):
        west = math.nan
    if not all(map(math.isfinite, (west, south, east, north))):  # it reaches beyond what its projection can show
        west, south, east, north = -180.0, -90.0, 180.0, 90.0
    if east < west:  # across the antimeridian
        east += 360
    if east - west >= 360:
        west, east = -180.0, 180.0
    turn = 360 * math.floor((west + 180) / 360)
    south, north = max(south, -_NORTH), min(north, _NORTH)
    if south >= north:
        raise RefusedError(
            409,
            f"the map has no tiles: it lies beyond {_NORTH:.2f} degrees, where web maps end",
            fix="take map.tif, which QGIS shows in its own projection",
        )
    middle = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    lon, lat = (float(value[0]) for value in transformed(dataset.crs, _WGS84, *np.array(middle)[:, None]))
    if not math.isfinite(lon) or not south <= lat <= north:
        lon, lat = (west + east) / 2, (south + north) / 2
    return (west - turn, south, east - turn, north), ((lon + 180) % 360 - 180, lat)


def _shifts(dataset: DatasetReader) -> tuple[float, ...]:
    """Turns that bring the longitudes of a map between -180 and 180 degrees, where Web Mercator has them."""
    if not dataset.crs.is_geographic:
        return (0.0,)
    turn = 2 * math.pi / dataset.crs.units_factor[1]
    left, _, right, _ = _own_bounds(dataset)
    first, last = math.ceil((-turn / 2 - right) / turn), math.floor((turn / 2 - left) / turn)
    return tuple(turn * number for number in range(first, last + 1)) or (0.0,)


def _own_bounds(dataset: DatasetReader) -> Bounds:
    """Smallest and largest coordinates in the map's own system, of a rotated grid too."""
    corners = [dataset.transform @ (x, y) for x in (0, dataset.width) for y in (0, dataset.height)]
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def _table(colors: dict[int, str]) -> Pixels:
    """Colors by value: of those given, and none of the others."""
    table = np.zeros((256, 4), np.uint8)
    for value, color in colors.items():
        table[value] = (*bytes.fromhex(color), 255)
    return table


def _environment() -> Any:
    """GDAL as maps have it, but for one thread: several tiles are drawn at a time."""
    use_own_proj_data()
    return rasterio.Env(session=DummySession(), **{**ENVIRONMENT, "GDAL_NUM_THREADS": "1"})


def _png(image: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@functools.lru_cache(maxsize=4)
def _blank(side: int) -> bytes:
    return _png(np.zeros((side, side, 4), np.uint8))
