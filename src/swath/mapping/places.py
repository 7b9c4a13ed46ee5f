"""Labeled places on the ground: points and polygons with a class, as people draw them in a GIS or list them.

:func:`read_places` reads GeoJSON, GeoPackage, CSV and rasters of labels in any coordinate reference system;
:func:`write_places` writes GeoPackages. What a file does not say is never guessed: places without a
coordinate reference system, or without a column of class names, are refused with the option that names it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.features import shapes
from rasterio.session import DummySession
from rasterio.warp import transform_geom

from swath.contents import SNIFFED_BYTES, mistaken_content
from swath.data.names import class_name, lookalikes
from swath.data.tables import called_columns, decode_text, label_column, read_csv
from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery.header import check_size
from swath.imagery.rasters import equals_nodata
from swath.mapping.geopackage import NEW_CLASS, Row, check_count, read_layer, write_layer
from swath.mapping.opening import ENVIRONMENT, open_file, use_own_proj_data

MOST_BYTES = 512 * 2**20
use_own_proj_data()  # for the next line, wherever this is imported first
WGS84 = CRS.from_epsg(4326)
GEOMETRIES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
_MOST_PIXELS = 400_000_000
_NAMES_CRS = "name it with --places-crs, such as --places-crs EPSG:32632"
_OTHERS = {
    b"\x00\x00\x27\x0a": "a Shapefile",
    b"fgb\x03": "a FlatGeobuf file",
    b"PK\x03\x04": "a zip archive",
    b"PAR1": "a Parquet file",
}
Geometry = Mapping[str, Any]


@dataclass(frozen=True)
class LabeledPlace:
    """A place and the class it is said to be.

    Attributes
    ----------
    geometry : mapping
        As GeoJSON has it: ``{"type": ..., "coordinates": ...}`` of a (multi)point or (multi)polygon, two dimensions.
    label : str or None
        Its class; None where nobody has said.
    where : str
        The place in its file, for messages.
    attributes : mapping of str to Any
        The other columns of its row.
    """

    geometry: Geometry
    label: str | None
    where: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """The places of a file.

    Attributes
    ----------
    rows : tuple of LabeledPlace
        In the order of the file.
    crs : rasterio.crs.CRS
        Reference system of their coordinates; x (or longitude) comes first.
    name : str
        What messages call the file.
    label_field : str or None
        Column the classes come from; None where there is none.
    notes : tuple of str
        What was decided or left out.
    """

    rows: tuple[LabeledPlace, ...]
    crs: Any
    name: str
    label_field: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Places of each class, in order of names."""
        return dict(sorted(Counter(row.label for row in self.rows if row.label is not None).items()))

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Center of each place, the mean of its corners, ``[N, 2]`` in coordinates of :attr:`crs`."""
        corners = [np.unique(np.array(list(points_of(row.geometry)), np.float64), axis=0) for row in self.rows]
        return np.array([corner.mean(axis=0) for corner in corners]).reshape(-1, 2)

    @property
    def lonlat(self) -> npt.NDArray[np.float64]:
        """Center of each place in longitude and latitude on WGS 84, ``[N, 2]``; NaN where there are none."""
        points = [{"type": "Point", "coordinates": center} for center in self.centers.tolist()]
        if self.crs == WGS84:
            return self.centers
        with rasterio.Env(session=DummySession(), **ENVIRONMENT):
            use_own_proj_data()
            found = _transformed(points, self.crs, WGS84)
        return np.array([(np.nan, np.nan) if one is None else one["coordinates"] for one in found]).reshape(-1, 2)

    def labeled(self) -> Places:
        """Those with a class; the others are counted in a note.

        Raises
        ------
        DataError
            If there is none.
        """
        kept = tuple(row for row in self.rows if row.label is not None)
        if not kept:
            raise DataError(
                f"none of the {len(self.rows)} places of {self.name} has a class",
                fix="fill in the column of classes" if self.label_field is None else f"fill in '{self.label_field}'",
            )
        left = len(self.rows) - len(kept)
        note = (f"{left} of {len(self.rows)} places of {self.name} have no class and were left out",) if left else ()
        return replace(self, rows=kept, notes=self.notes + note)

    def matched(self, classes: Sequence[str]) -> Places:
        """The same with classes spelled as in `classes` where they differ only in case, spaces or accents."""
        spelled, notes = match_names(list(self.counts), classes)
        rows = tuple(
            row if row.label is None else replace(row, label=spelled.get(row.label, row.label)) for row in self.rows
        )
        return replace(self, rows=rows, notes=self.notes + notes)

    def to_crs(self, crs: Any) -> Places:
        """The same places in another coordinate reference system; those beyond its area are left out with a note.

        Raises
        ------
        DataError
            If none is left.
        """
        target = CRS.from_user_input(crs)
        if target == self.crs or not self.rows:
            return replace(self, crs=target)
        with rasterio.Env(session=DummySession(), **ENVIRONMENT):
            use_own_proj_data()
            found = _transformed([dict(row.geometry) for row in self.rows], self.crs, target)
        rows = tuple(
            replace(row, geometry=geometry)
            for row, geometry in zip(self.rows, found, strict=True)
            if geometry is not None
        )
        lost = [row.where for row, geometry in zip(self.rows, found, strict=True) if geometry is None]
        if not rows:
            raise DataError(
                f"no place of {self.name} lies where {crs_name(target)} has coordinates",
                fix="give places of this scene, or name their system with --places-crs",
            )
        note = (
            (f"{len(lost)} places lie beyond the area of {crs_name(target)} and were left out: {lost[0]}",)
            if lost
            else ()
        )
        return replace(self, rows=rows, crs=target, notes=self.notes + note)


def _transformed(geometries: Sequence[Geometry], source: Any, target: Any) -> list[Geometry | None]:
    """Geometries in another system, all at once or else one by one; None for what has no coordinates in it."""
    if not geometries:
        return []
    try:
        found: list[Geometry] = transform_geom(source, target, list(geometries))
    except (RasterioError, CPLE_BaseError, ValueError, SystemError):  # the last once GDAL has fallen silent
        if len(geometries) == 1:
            return [None]
        return [one for geometry in geometries for one in _transformed([geometry], source, target)]
    return [one if all(math.isfinite(v) for point in points_of(one) for v in point) else None for one in found]


def read_places(
    path: str | Path,
    *,
    crs: Any = None,
    label_field: str | None = None,
    usual: str | None = None,
    layer: str | None = None,
    need_labels: bool = True,
) -> Places:
    """Read labeled places, of whatever format; it is detected from the content.

    Parameters
    ----------
    path : str or Path
        GeoJSON; GeoPackage; CSV with columns ``lon`` and ``lat``, or ``x`` and ``y``; or a raster of labels, of which
        every connected region of one value becomes a polygon.
    crs : optional
        Coordinate reference system of the coordinates, in place of what the file says.
    label_field : str, optional
        Column of class names; by default the one that is called ``label``, ``class`` or the like. Where it is empty,
        the class is that of a column ``new_class``, as :func:`write_places` adds one.
    usual : str, optional
        Column that comes before these if the file has it.
    layer : str, optional
        Layer of a GeoPackage that has several.
    need_labels : bool
        Refuse a file without a column of classes.

    Returns
    -------
    Places
        With places whose class is not filled in; see :meth:`Places.labeled`.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is none of these or damaged, says no coordinate reference system, has no column of class names, or
        two classes of a place.
    SettingError
        If `crs` is none, or the file has no `label_field` or `layer`.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "places.csv"
    >>> _ = table.write_text("lon,lat,class\\n11.5,48.1,Forest\\n11.6,48.1,River\\n")
    >>> read_places(table).counts
    {'Forest': 1, 'River': 1}
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no file of places {path}", fix="give GeoJSON, GeoPackage, CSV or a raster")
    stated = None if crs is None else as_crs(crs)
    with path.open("rb") as stream:
        head = stream.read(SNIFFED_BYTES)
    name = path.name
    if head.startswith(b"SQLite format 3\0"):
        columns, rows, own = read_layer(path, layer=layer)
    elif layer is not None:
        raise SettingError(f"{name} has no layers", fix="leave out --layer")
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG"):
        if label_field is not None:
            raise SettingError(f"{name} is a raster and has no columns", fix="leave out --label-field")
        return _raster_places(path, crs=stated)
    else:
        columns, rows, own = _text_rows(path, head)
    if stated is None and own is None:
        raise DataError(f"{name} does not say in which coordinate reference system its places are", fix=_NAMES_CRS)
    asked = usual if label_field is None and usual in columns else label_field
    found = _choose_label(columns, rows, asked=asked, need=need_labels, where=name)
    free = NEW_CLASS if NEW_CLASS in columns and found not in (None, NEW_CLASS) else None
    places, empty = [], 0
    for where, geometry, values in rows:
        if geometry is None:
            empty += 1
            continue
        attributes = {key: value for key, value in values.items() if key not in (found, free)}
        label = None if found is None else label_text(values.get(found))
        other = None if free is None else label_text(values.get(free))
        if label_field is None and label is not None and other is not None and label != other:
            raise DataError(
                f"{where} is '{label}' in column '{found}' and '{other}' in column '{free}'", fix="empty one of the two"
            )
        label = other if label is None else label
        places.append(LabeledPlace(geometry, label, where, attributes))
    if not places:
        raise DataError(f"{name} holds no places", fix="give a file with points or polygons")
    notes = (f"{empty} rows of {name} have no geometry and were left out",) if empty else ()
    system = own if stated is None else stated
    if stated is None and own == WGS84:
        _check_degrees(places, name)
    return Places(tuple(places), system, name, found, notes)


def write_places(
    path: str | Path,
    places: Places,
    *,
    classes: Mapping[str, str] | None = None,
    hidden: Sequence[str] = (),
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write places as a GeoPackage, with their class and other attributes as columns.

    Parameters
    ----------
    path : str or Path
        Ends in ``.gpkg``.
    places : Places
        Its column of classes is called :attr:`Places.label_field`, or ``class``; all rows have the same attributes.
    classes : mapping of str to str, optional
        Color (RRGGBB) by class name: a style (``.qml``) is written next to it, with which QGIS offers the classes in a
        drop-down, and the column ``new_class`` for others; a column ``picture`` is shown with each place.
    hidden : sequence of str
        Columns that QGIS keeps from view.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    SettingError
        If the name does not end in ``.gpkg``.
    OutputError
        If a file exists or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gpkg":
        raise SettingError(f"places are written as GeoPackage, not as {path.name}", fix="end the name in .gpkg")
    label = places.label_field or "class"
    names = {name: None for row in places.rows for name in row.attributes if name.lower() not in ("fid", "geom")}
    columns: dict[str, list[Any]] = {label: [row.label for row in places.rows]}
    columns |= {name: [row.attributes.get(name) for row in places.rows] for name in names}
    return write_layer(
        path,
        [row.geometry for row in places.rows],
        crs=places.crs,
        columns=columns,
        classes=classes,
        class_column=label,
        hidden=hidden,
        overwrite=overwrite,
    )


def match_names(labels: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The class that each label is, where it differs only in case, in what separates words, or in accents.

    Returns
    -------
    tuple of dict and tuple of str
        Class by label, without those that are no class of `classes`; and a note for each that was respelled.

    Examples
    --------
    >>> match_names(["sea lake", "dump"], ["River", "SeaLake"])[0]
    {'sea lake': 'SeaLake'}
    """
    known = {class_name(name): name for name in classes}
    found = {label: known[label] for label in labels if label in known}
    for label in labels:
        if label not in found:
            sets = [names for names in lookalikes({**dict.fromkeys(known, 1), label: 0}) if label in names]
            alike = [name for names in sets for name in names if name in known]
            if len(alike) == 1:
                found[label] = known[alike[0]]
    notes = tuple(f"'{label}' was read as the class '{name}'" for label, name in found.items() if label != name)
    return found, notes


def points_of(geometry: Geometry) -> Iterator[Sequence[float]]:
    """All corners of a geometry."""
    levels = {"Point": 0, "MultiPoint": 1, "Polygon": 2, "MultiPolygon": 3}[geometry["type"]]
    parts: list[Any] = [geometry["coordinates"]]
    for _ in range(levels):
        parts = [inner for part in parts for inner in part]
    return iter(parts)


def as_crs(stated: Any) -> Any:
    """A coordinate reference system as the user names it.

    Raises
    ------
    SettingError
        If it is none.
    """
    try:
        return CRS.from_user_input(stated)
    except (CRSError, ValueError) as error:
        raise SettingError(
            f"{stated!r} is not a coordinate reference system", fix="give one such as --places-crs EPSG:32632"
        ) from error


def crs_name(crs: Any) -> str:
    """A short name of a coordinate reference system, for messages."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_string())[:40]


def label_text(value: Any) -> str | None:
    """A class as a cell holds it; None for an empty cell.

    Examples
    --------
    >>> [label_text(value) for value in (" Forest ", 3.0, 3, "", None)]
    ['Forest', '3', '3', None, None]
    """
    if value is None or isinstance(value, bytes) or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return class_name(str(value)) or None


def checked_geometry(geometry: Any, *, where: str) -> Geometry | None:
    """A geometry as GeoJSON has it, with two dimensions; None where it is empty.

    Raises
    ------
    DataError
        If it is neither points nor polygons, or not valid.
    """
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in GEOMETRIES:
        what = f"a {kind}" if isinstance(kind, str) else "no geometry"
        raise DataError(f"{where} is {what[:40]}, and places are points or polygons", fix="buffer lines to polygons")
    depth = {"Point": 0, "MultiPoint": 1, "Polygon": 2, "MultiPolygon": 3}[kind]
    try:
        coordinates = _coordinates(geometry["coordinates"], depth)
        polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(kind, [])
        if any(len(ring) < 4 for polygon in polygons for ring in polygon):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f"{where} has coordinates that make no {kind}", fix="correct it or leave it out") from None
    return {"type": kind, "coordinates": coordinates} if coordinates else None


def _coordinates(part: Any, depth: int) -> Any:
    """Nested lists down to points of two finite numbers; empty parts are left out."""
    if not isinstance(part, list | tuple):
        raise TypeError
    if depth:
        inner = [_coordinates(one, depth - 1) for one in part]
        return [one for one in inner if one]
    if not part:
        return []
    x, y = part[0], part[1] if len(part) > 1 else None
    if isinstance(x, bool) or isinstance(y, bool) or not isinstance(x, int | float) or not isinstance(y, int | float):
        raise TypeError
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError
    return [float(x), float(y)]


def _text_rows(path: Path, head: bytes) -> tuple[list[str], list[Row], Any]:
    """Columns, rows and the coordinate reference system of GeoJSON or CSV."""
    name = path.name
    for mark, kind in _OTHERS.items():
        if head.startswith(mark):
            fix = "unpack it first" if "zip" in kind else f"convert it, for example with: ogr2ogr places.gpkg {name}"
            raise DataError(f"{name} is {kind}, which is not read", fix=fix)
    if path.stat().st_size > MOST_BYTES:
        raise DataError(
            f"{name} has {path.stat().st_size / 2**20:,.0f} MB, above the limit of {MOST_BYTES / 2**20:,.0f}",
            fix="keep only the places that are labeled",
        )
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start not in (b"{", b"["):
        mistaken = mistaken_content(head)
        plain = mistaken is not None and mistaken[0].startswith("is text")
        if mistaken is not None and not plain:
            what, fix = mistaken
            if b"<kml" in head.lower() or b"<gml" in head.lower():
                what, fix = "is KML or GML, which is not read", f"convert it: ogr2ogr places.gpkg {name}"
            raise DataError(f"{name} {what}", fix=fix)
    text, _ = decode_text(path.read_bytes(), where=name)
    return _geojson_rows(text, name) if start in (b"{", b"[") else _csv_rows(text, name)


def _geojson_rows(text: str, name: str) -> tuple[list[str], list[Row], Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "too deep"
        raise DataError(f"{name} is not valid JSON ({place})", fix="export it again as GeoJSON") from error
    kind = found.get("type") if isinstance(found, dict) else None
    if kind == "FeatureCollection" and isinstance(found.get("features"), list):
        features = found["features"]
    elif kind == "Feature":
        features = [found]
    else:
        raise DataError(f"{name} is JSON but no GeoJSON FeatureCollection", fix="export it as GeoJSON")
    check_count(len(features), name)
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for number, feature in enumerate(features, start=1):
        where = f"{name}, feature {number}"
        values = (feature.get("properties") or {}) if isinstance(feature, dict) else None
        if not isinstance(values, dict):
            raise DataError(f"{where} is no GeoJSON feature", fix="export it as GeoJSON")
        columns.update(dict.fromkeys(values))
        rows.append((where, checked_geometry(feature.get("geometry"), where=where), values))
    return list(columns), rows, _geojson_crs(found.get("crs"), name)


def _geojson_crs(member: Any, name: str) -> Any:
    """WGS 84, as RFC 7946 has it, or what the older member ``crs`` names."""
    if member is None:
        return WGS84
    try:
        return CRS.from_user_input(member["properties"]["name"])
    except (KeyError, TypeError, CRSError, ValueError) as error:
        raise DataError(f"{name} names a coordinate reference system that is not known", fix=_NAMES_CRS) from error


def _csv_rows(text: str, name: str) -> tuple[list[str], list[Row], Any]:
    columns, rows = read_csv(text, where=name)
    check_count(len(rows), name)
    degrees = [called_columns(columns, kind)[:1] for kind in ("lon", "lat")]
    plane = [called_columns(columns, kind)[:1] for kind in ("x", "y")]
    pair, own = (degrees, WGS84) if all(degrees) else (plane, None)
    if not all(pair):
        shown = ", ".join(repr(column) for column in columns[:8] if column)
        raise DataError(
            f"{name} has no columns of coordinates (its columns: {shown or 'none'})",
            fix="call them lon and lat in degrees, or x and y in the system that --places-crs names",
        )
    x, y = pair[0][0], pair[1][0]
    systems = {values[at].strip() for at in called_columns(columns, "crs")[:1] for _, values in rows} - {""}
    if own is None and len(systems) == 1:
        try:
            own = CRS.from_user_input(systems.pop())
        except (CRSError, ValueError) as error:
            raise DataError(f"{name} names a coordinate reference system that is not known", fix=_NAMES_CRS) from error
    found: list[Row] = []
    for where, values in rows:
        point = [_number(values[column], column, where) for column in (x, y)]
        known = {key: value for key, value in values.items() if key not in (x, y)}
        missing = point[0] is None or point[1] is None
        found.append((where, None if missing else {"type": "Point", "coordinates": point}, known))
    return [column for column in columns if column not in (x, y)], found, own


def _number(cell: str, column: str, where: str) -> float | None:
    text = cell.strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} has {text[:30]!r} in column '{column}'", fix="write coordinates as numbers")
    return value


def _choose_label(
    columns: Sequence[str], rows: Sequence[Row], *, asked: str | None, need: bool, where: str
) -> str | None:
    """The column of class names."""
    shown = ", ".join(f"'{column}'" for column in list(columns)[:8]) + (", ..." if len(columns) > 8 else "")
    if asked is not None:
        if asked not in columns:
            raise SettingError(
                f"{where} has no column '{asked}' (its columns: {shown or 'none'})", fix="name one with --label-field"
            )
        return asked
    values = {name: [row.get(name) for _, _, row in rows] for name in columns}
    try:
        found = label_column(columns, values, where=where)
    except DataError as error:
        raise DataError(error.problem, fix="name the right one with --label-field") from error
    if found is None and need:
        raise DataError(
            f"{where} has no column of class names (its columns: {shown or 'none'})",
            fix="call it 'label' or name it with --label-field",
        )
    return found


def _check_degrees(places: Sequence[LabeledPlace], name: str) -> None:
    for place in places:
        for x, y in points_of(place.geometry):
            if abs(x) > 360 or abs(y) > 90:
                raise DataError(
                    f"{place.where} has coordinates that are no longitude and latitude ({x:.10g}, {y:.10g}), "
                    f"and {name} names no other system",
                    fix=_NAMES_CRS,
                )


def _raster_places(path: Path, *, crs: Any) -> Places:
    """Connected regions of a raster of labels, as polygons."""
    name = path.name
    with rasterio.Env(session=DummySession(), **ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        use_own_proj_data()
        with open_file(str(path)) as dataset:
            check_size(dataset.width, dataset.height, name=name, max_pixels=_MOST_PIXELS)
            if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu":
                raise DataError(
                    f"{name} has {dataset.count} bands of {dataset.dtypes[0]} values, and labels are one band of "
                    "whole numbers",
                    fix="give a raster of classes",
                )
            system = dataset.crs if crs is None else crs
            if not system:
                raise DataError(f"{name} does not say in which coordinate reference system it is", fix=_NAMES_CRS)
            try:
                values = dataset.read(1)
            except RasterioError as error:
                raise DataError(f"{name} is damaged ({error})", fix="replace it") from error
            nodata = 0 if dataset.nodata is None else dataset.nodata
            names = _value_names(dataset.tags(1).get("class_names"))
            wide = values if values.dtype.name in ("int16", "int32", "uint8", "uint16") else values.astype(np.int32)
            rows: list[LabeledPlace] = []
            for geometry, value in shapes(wide, mask=~equals_nodata(values, nodata), transform=dataset.transform):
                check_count(len(rows) + 1, f"{name} (its regions)")
                label = names(int(value))
                rows.append(LabeledPlace(geometry, label, f"{name}, region {len(rows) + 1}", {"value": int(value)}))
    if not rows:
        raise DataError(f"{name} holds no labels: every pixel is {nodata:g}", fix="give a raster of classes")
    return Places(tuple(rows), system, name, None)


def _value_names(stated: str | None) -> Callable[[int], str]:
    """Names of values as a map of swath holds them in its tags, or the values themselves."""
    try:
        found = json.loads(stated or "null")
    except ValueError:
        found = None
    names = found if isinstance(found, list) and all(isinstance(name, str) for name in found) else []
    return lambda value: class_name(names[value]) if 0 <= value < len(names) and names[value] else str(value)
