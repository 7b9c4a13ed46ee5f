"""Area of every class in zones, such as the districts of a map: from polygons of any file that holds places.

A pixel on the edge of a zone counts with the part of it that the zone covers, which is computed exactly from the
polygon's edges and not by sampling: the sides of each pixel cut the edges into pieces, and a piece covers of a pixel
what lies to its right. Zones that fill a scene without gaps therefore have together the area of each class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, MissingFileError, SettingError
from swath.files import write_csv
from swath.mapping.area import PixelArea, transformed
from swath.mapping.places import LabeledPlace, Places, label_text, read_places
from swath.model.record import ClassInfo
from swath.pages.text import counted

_NAMES = ("name", "zone", "district", "region", "title")  # columns that are taken for the names of zones
_NUMBERS = ("fid", "id", "ogc_fid", "objectid")
_BAND = 64  # rows of the map that are counted at a time
_PIECES = 50  # parts of the scene's diagonal: edges are no longer when they are brought to another system
_MOST_PIECES = 2_000_000
_CHECKED = 512  # cells along the longer side of a zone in which it is checked
_CROSSES = 1e-6  # part of a pixel that is more than rounding
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ZoneArea:
    """How much of each class there is in a zone.

    Attributes
    ----------
    name : str
        The zone.
    inside : float
        Part of the zone that lies in the scene, 0-1.
    hectares : tuple of float
        Of every class, in the order of the legend.
    nodata_hectares : float
        Part of it in the scene without a class.
    """

    name: str
    inside: float
    hectares: tuple[float, ...]
    nodata_hectares: float

    @property
    def mapped(self) -> float:
        """Hectares of all classes together."""
        return sum(self.hectares)


@dataclass(frozen=True)
class Zone:
    """A zone over the pixels of a scene.

    Attributes
    ----------
    name : str
        What its areas stand under; zones of the same name are one.
    edges : numpy.ndarray
        float64 ``[E, 4]``: column and row where each edge begins, and where it ends. Outlines have their inside on
        the right of edges that go down, holes the other way round.
    """

    name: str
    edges: Floats

    @property
    def pixels(self) -> float:
        """Its area in pixels."""
        x0, y0, x1, y1 = self.edges.T
        return float(-((y1 - y0) * (x0 + x1)).sum() / 2)


@dataclass(frozen=True)
class Zones:
    """The zones of a file over a scene.

    Attributes
    ----------
    zones : tuple of Zone
        In the order of the file.
    file : str
        Its name.
    field : str or None
        Column of their names; None where they are numbered.
    notes : tuple of str
        What was decided or left out.
    """

    zones: tuple[Zone, ...]
    file: str
    field: str | None
    notes: tuple[str, ...]


def read_zones(path: str | Path, *, field: str | None = None) -> tuple[Places, str | None]:
    """Read polygons and their names.

    Parameters
    ----------
    path : str or Path
        Any file that :func:`swath.mapping.places.read_places` reads.
    field : str, optional
        Column of their names; by default the one called name, zone, district, region or title, else the only one that
        holds text. Zones of a file without columns are numbered.

    Returns
    -------
    tuple of Places and str or None
        Places whose label is the zone's name, and the column it is from.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it cannot be read, holds other things than polygons, or does not say which column names them.
    SettingError
        If it has no column `field`.

    Examples
    --------
    >>> import tempfile
    >>> square = '{"type": "Polygon", "coordinates": [[[10, 48], [11, 48], [11, 49], [10, 48]]]}'
    >>> file = Path(tempfile.mkdtemp()) / "districts.geojson"
    >>> _ = file.write_text('{"type": "Feature", "properties": {"name": "Au"}, "geometry": ' + square + "}")
    >>> places, column = read_zones(file)
    >>> places.rows[0].label, column
    ('Au', 'name')
    """
    name = Path(path).name
    try:
        places = read_places(path, label_field=field, need_labels=False)
    except MissingFileError:
        raise MissingFileError(f"there is no file of zones {path}", fix="give GeoJSON or a GeoPackage") from None
    except (DataError, SettingError) as error:
        raise type(error)(error.problem, fix=_fix(error.fix)) from error
    for row in places.rows:
        if row.geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise DataError(f"{row.where} is a {row.geometry['type']}, and zones are polygons", fix="leave it out")
    chosen = field or _name_column(places, name)
    rows = []
    for number, row in enumerate(places.rows, start=1):
        text = row.label if chosen == places.label_field else label_text(row.attributes.get(chosen or ""))
        rows.append(replace(row, label=text or f"zone {number}"))
    return replace(places, rows=tuple(rows)), chosen


def _fix(fix: str | None) -> str | None:
    """What mends an error of places in the words of zones."""
    for option, instead in {
        "--label-field": "name it with --zone-field",
        "--places-crs": "save it with its coordinate reference system, as QGIS does",
        "--layer": "export the layer of zones to a file of its own",
    }.items():
        if fix and option in fix:
            return instead
    return fix


def _name_column(places: Places, name: str) -> str | None:
    columns = list(dict.fromkeys(column for row in places.rows for column in row.attributes))
    called = [column for wanted in _NAMES for column in columns if column.strip().lower() == wanted]
    if called:
        return called[0]
    if places.label_field is not None:
        return places.label_field
    texts = [
        column
        for column in columns
        if column.lower() not in _NUMBERS and any(isinstance(row.attributes.get(column), str) for row in places.rows)
    ]
    if len(texts) == 1:
        return texts[0]
    if texts:
        shown = ", ".join(f"'{column}'" for column in texts[:8])
        raise DataError(f"{name} does not say which column names its zones ({shown})", fix="choose with --zone-field")
    return None


def lay_zones(places: Places, field: str | None, *, crs: Any, transform: Any, shape: tuple[int, int]) -> Zones:
    """Bring zones to the pixels of a scene.

    Parameters
    ----------
    places : Places
        From :func:`read_zones`.
    field : str or None
        Column of their names.
    crs, transform
        Of the scene, as rasterio has them.
    shape : tuple of int
        Rows and columns of the scene.

    Raises
    ------
    DataError
        If an outline crosses or overlaps itself, or no zone lies in the scene.
    """
    moved = places
    if places.crs != crs:
        longest = _longest_edge(places, crs, transform, shape)
        rows = tuple(replace(row, geometry=_divided(row.geometry, longest)) for row in places.rows)
        moved = replace(places, rows=rows).to_crs(crs)
    edges: dict[str, list[Floats]] = {}
    parts: dict[str, int] = {}
    for row in moved.rows:
        found = _edges(row, ~transform)
        if len(found):
            edges.setdefault(str(row.label), []).append(found)
            parts[str(row.label)] = parts.get(str(row.label), 0) + 1
    zones = tuple(Zone(name, np.concatenate(found)) for name, found in edges.items())
    inside: list[Zone] = []
    outside: list[Zone] = []
    for zone in zones:
        (inside if _overlaps(zone, shape) else outside).append(zone)
    if not inside:
        raise DataError(f"no zone of {places.name} lies in the scene", fix="give zones that cover it")
    notes = list(moved.notes)
    several = [name for name, count in parts.items() if count > 1]
    if several:
        notes.append(
            f"{counted(len(several), 'zone has', 'zones have')} several rows and were taken together: {several[0]}"
        )
    if outside:
        names = ", ".join(zone.name for zone in outside[:3]) + (", ..." if len(outside) > 3 else "")
        notes.append(f"{counted(len(outside), 'zone lies', 'zones lie')} outside the scene and were left out: {names}")
    return Zones(tuple(inside), places.name, field, tuple(notes))


def _overlaps(zone: Zone, shape: tuple[int, int]) -> bool:
    """Whether any part of a zone lies in the scene."""
    (left, right), (top, bottom) = _extent(zone.edges)
    if right <= 0 or bottom <= 0 or left >= shape[1] or top >= shape[0]:
        return False
    # In cells as large as it takes to look at few of them.
    size = max(1.0, max(shape) / _CHECKED)
    cells = int(np.ceil(shape[0] / size)), int(np.ceil(shape[1] / size))
    return bool((coverage(zone.edges / size, 0, cells) > _CROSSES).any())


def _extent(edges: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    x, y = edges[:, ::2], edges[:, 1::2]
    return (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))


def _longest_edge(places: Places, crs: Any, transform: Any, shape: tuple[int, int]) -> float:
    """How long the edges of zones may be, in their own system, to be straight in that of the scene as well."""
    corners = np.array([transform @ (column, row) for row in (0, shape[0]) for column in (0, shape[1])], np.float64).T
    found = transformed(crs, places.crs, *corners)
    lengths = [length for row in places.rows for length in _lengths(row.geometry)]
    # However large zones are compared with the scene, their edges make no more pieces than memory holds.
    least = sum(lengths) / _MOST_PIECES
    if not np.isfinite(found).all():
        return max(max(lengths, default=1.0) / 1000, least)
    return max(float(np.hypot(*np.ptp(found, axis=1))) / _PIECES, least)


def _lengths(geometry: Mapping[str, Any]) -> Iterator[float]:
    for _, ring in _rings(geometry):
        yield from np.hypot(*np.diff(ring, axis=0).T).tolist()


def _rings(geometry: Mapping[str, Any]) -> Iterator[tuple[bool, Floats]]:
    """The closed rings ``[n, 2]`` of a polygon, and whether each is a hole."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for polygon in polygons:
        for number, ring in enumerate(polygon):
            points = np.array(ring, np.float64)
            if (points[0] != points[-1]).any():
                points = np.concatenate([points, points[:1]])
            yield number > 0, points


def _divided(geometry: Mapping[str, Any], longest: float) -> Mapping[str, Any]:
    """The same polygon with corners added to edges that are longer than `longest`."""

    def divide(ring: Sequence[Any]) -> list[list[float]]:
        points = np.array(ring, np.float64)
        steps = np.maximum(1, np.ceil(np.hypot(*np.diff(points, axis=0).T) / longest)).astype(int)
        at = np.concatenate([np.arange(n) / n for n in steps])[:, None]
        starts, ends = points[:-1].repeat(steps, axis=0), points[1:].repeat(steps, axis=0)
        return [*(starts + at * (ends - starts)).tolist(), points[-1].tolist()]

    several = geometry["type"] == "MultiPolygon"
    polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
    divided = [[divide(ring) for ring in polygon] for polygon in polygons]
    return {"type": geometry["type"], "coordinates": divided if several else divided[0]}


def _edges(place: LabeledPlace, to_pixels: Any) -> Floats:
    """Edges of a polygon in pixels, directed as :class:`Zone` has them."""
    found = []
    for hole, ring in _rings(place.geometry):
        columns, rows = to_pixels @ (ring[:, 0], ring[:, 1])
        edges = np.column_stack([columns[:-1], rows[:-1], columns[1:], rows[1:]])
        covered = Zone("", edges).pixels
        found.append(edges if (covered >= 0) != hole else edges[:, [2, 3, 0, 1]])
    edges = np.concatenate(found)
    (left, right), (top, bottom) = _extent(edges)
    size = max(right - left, bottom - top) / _CHECKED
    if not size:
        return edges[:0]
    local = (edges - [left, top, left, top]) / size
    cells = int(np.ceil((bottom - top) / size)) + 1, int(np.ceil((right - left) / size)) + 1
    part = coverage(local, 0, cells)
    if part.min() < -_CROSSES or part.max() > 1 + _CROSSES:
        raise DataError(
            f"the outline of {place.where} crosses or overlaps itself", fix="repair it in QGIS with: Fix geometries"
        )
    return edges


def coverage(edges: Floats, top: int, shape: tuple[int, int]) -> Floats:
    """Which part of each pixel a polygon covers.

    Parameters
    ----------
    edges : numpy.ndarray
        float64 ``[E, 4]``, see :class:`Zone`.
    top : int
        First row of pixels.
    shape : tuple of int
        Rows and columns of pixels; the first column is 0.

    Returns
    -------
    numpy.ndarray
        float64 of that shape, 0-1; outside this range where the polygon overlaps itself.

    Examples
    --------
    >>> triangle = np.array([[1, 0, 1, 1], [1, 1, 2, 0], [2, 0, 1, 0.0]])
    >>> coverage(triangle, 0, (1, 3)).tolist()
    [[0.0, 0.5, 0.0]]
    """
    height, width = shape
    x0, y0, x1, y1 = edges.T
    # Level edges cover nothing by themselves, and those to the right of all pixels none of them.
    kept = (y0 != y1) & (np.maximum(y0, y1) > top) & (np.minimum(y0, y1) < top + height) & (np.minimum(x0, x1) < width)
    x0, y0, x1, y1 = edges[kept].T
    dx, dy = x1 - x0, y1 - y0
    ends = np.sort([np.clip((limit - y0) / dy, 0, 1) for limit in (top, top + height)], axis=0)
    which, cuts = [np.arange(len(x0))] * 2, [ends[0], ends[1]]
    for start, step, low, high in ((y0, dy, top, top + height), (x0, dx, 0, width)):
        a, b = start + ends[0] * step, start + ends[1] * step
        first = np.clip(np.ceil(np.minimum(a, b)), low, high).astype(np.int64)
        last = np.clip(np.floor(np.maximum(a, b)), low, high).astype(np.int64)
        counts = np.where(step == 0, 0, np.maximum(last - first + 1, 0))
        edge = np.arange(len(x0)).repeat(counts)
        lines = first.repeat(counts) + np.arange(len(edge)) - (np.cumsum(counts) - counts).repeat(counts)
        which.append(edge)
        cuts.append((lines - start[edge]) / step[edge])
    edge, at = np.concatenate(which), np.concatenate(cuts)
    at = np.clip(at, ends[0][edge], ends[1][edge])
    order = np.lexsort((at, edge))
    edge, at = edge[order], at[order]
    piece = (edge[1:] == edge[:-1]) & (at[1:] > at[:-1])
    edge, start, stop = edge[:-1][piece], at[:-1][piece], at[1:][piece]
    middle, down = (start + stop) / 2, (stop - start) * dy[edge]
    x = np.clip(x0[edge] + middle * dx[edge], 0, width)
    row = np.clip((y0[edge] + middle * dy[edge] - top).astype(np.int64), 0, height - 1)
    column = x.astype(np.int64)
    places = row * (width + 2) + column
    right = down * (x - column)
    sums = np.zeros(height * (width + 2))
    np.add.at(sums, places, down - right)
    np.add.at(sums, places + 1, right)
    covered: Floats = sums.reshape(height, width + 2)[:, :width].cumsum(axis=1)
    return covered


class ZoneTotals:
    """Counts the area of every class in zones, row by row.

    Parameters
    ----------
    zones : Zones
    classes : sequence of ClassInfo
        Class i is stored as i + 1.
    area : PixelArea
        Area of the pixels.
    shape : tuple of int
        Rows and columns of the map.
    """

    def __init__(self, zones: Zones, classes: Sequence[ClassInfo], area: PixelArea, shape: tuple[int, int]) -> None:
        self._zones, self._area, self._shape, self._values = zones, area, shape, len(classes) + 1
        self._meters = np.zeros((len(zones.zones), self._values))
        self._pixels = np.zeros(len(zones.zones))
        self._extents = [_extent(zone.edges) for zone in zones.zones]
        self._held: list[npt.NDArray[np.uint8]] = []
        self._start = self._rows = 0
        self._shared = 0.0

    def add(self, start: int, labels: npt.NDArray[np.uint8]) -> None:
        """Count `labels` ``[rows, width]``, the map from row `start` on."""
        if not self._held:
            self._start = start
        self._held.append(np.array(labels))
        self._rows += len(labels)
        if self._rows >= _BAND or start + len(labels) >= self._shape[0]:
            self._count(np.concatenate(self._held))
            self._held, self._rows = [], 0

    def _count(self, labels: npt.NDArray[np.uint8]) -> None:
        start, (rows, width) = self._start, labels.shape
        down, across = self._area.block
        blocks = self._area.blocks[(start + np.arange(rows)) // down]
        covered_by: npt.NDArray[np.float32] | None = None
        for number, (zone, ((left, right), (top, bottom))) in enumerate(
            zip(self._zones.zones, self._extents, strict=True)
        ):
            first, last = max(0, int(left)), min(width, int(np.ceil(right)))
            if top >= start + rows or bottom <= start or first >= last:
                continue
            part = np.clip(coverage(zone.edges - [first, 0, first, 0], start, (rows, last - first)), 0, 1)
            meters = part * blocks[:, np.arange(first, last) // across]
            self._meters[number] += np.bincount(labels[:, first:last].ravel(), meters.ravel(), minlength=self._values)
            self._pixels[number] += part.sum()
            if covered_by is None:
                covered_by = np.zeros(labels.shape, np.float32)
            covered_by[:, first:last] += part
        if covered_by is not None:
            twice = np.maximum(covered_by - (1 + 1e-4), 0)
            self._shared += float((twice * blocks[:, np.arange(width) // across]).sum())

    def table(self) -> tuple[ZoneArea, ...]:
        """A row per zone, in the order of the file."""
        found = []
        for zone, meters, pixels in zip(self._zones.zones, self._meters / 10_000, self._pixels, strict=True):
            inside = min(1.0, float(pixels) / zone.pixels)
            found.append(ZoneArea(zone.name, inside, tuple(meters[1:].tolist()), float(meters[0])))
        return tuple(found)

    def notes(self) -> tuple[str, ...]:
        """What to know before using the table: sentences without a full stop."""
        notes = list(self._zones.notes)
        cut = sum(row.inside < 1 - 1e-6 for row in self.table())
        if cut:
            reach = counted(cut, "zone reaches", "zones reach")
            notes.append(f"{reach} past the scene and {'was' if cut == 1 else 'were'} counted inside it")
        if self._shared > 1:
            notes.append(f"zones overlap on {self._shared / 10_000:,.3g} ha, which count in each of them")
        return tuple(notes)


def write_zones(path: Path, rows: Sequence[ZoneArea], classes: Sequence[str]) -> None:
    """Write areas by zone as CSV: a row per zone, and a column of hectares per class."""
    header = ["zone", "part in the scene", "mapped ha", "no data ha", *(f"{name} ha" for name in classes)]
    write_csv(
        path,
        header,
        (
            [row.name, round(row.inside, 4), *(round(v, 4) for v in (row.mapped, row.nodata_hectares, *row.hectares))]
            for row in rows
        ),
    )
