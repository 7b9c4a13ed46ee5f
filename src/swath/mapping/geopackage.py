"""GeoPackage: layers of points and polygons, read and written by the standard library alone.

A GeoPackage is an SQLite file (OGC 12-128r19): its tables say what layers there are and in which coordinate reference
system, and geometries are WKB behind a short header. :func:`write_layer` also writes the style that lets QGIS offer
the classes in a drop-down.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from swath.errors import DataError, SettingError
from swath.files import atomic_files
from swath.mapping.styles import places_style

MOST_PLACES = 100_000
MOST_BLOB = 64 * 2**20  # of one geometry or picture
_APPLICATION, _VERSION = 0x47504B47, 10300  # "GPKG", 1.3.0
_MOST_STEPS = 20_000  # calls after 10,000 instructions each: what a view may compute
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}  # bytes by the header's flag
_KINDS = {1: "Point", 3: "Polygon", 4: "MultiPoint", 6: "MultiPolygon"}
_CODES = {name: code for code, name in _KINDS.items()}
_OTHER_KINDS = {2: "LineString", 5: "MultiLineString", 7: "GeometryCollection"}
_MADE = "2000-01-01T00:00:00.000Z"  # a column that must hold a time; the same places give the same bytes
_NO_CODE = 100_000  # srs_id of a system without a code
NEW_CLASS = "new_class"  # column of a class that the drop-down of classes lacks
PICTURE = "picture"  # column of what a place looks like
Row = tuple[str, "Mapping[str, Any] | None", Mapping[str, Any]]


def check_count(count: int, name: str) -> None:
    """Refuse files of more places than people label.

    Raises
    ------
    DataError
        If there are more than :data:`MOST_PLACES`.
    """
    if count > MOST_PLACES:
        raise DataError(f"{name} holds more than {MOST_PLACES:,} places", fix="keep fewer")


def read_layer(path: Path, *, layer: str | None = None) -> tuple[list[str], list[Row], Any]:
    """Read a layer of points or polygons.

    Parameters
    ----------
    path : Path
        A GeoPackage.
    layer : str, optional
        By default the only one there is.

    Returns
    -------
    tuple of list, list and rasterio.crs.CRS or None
        Columns without that of the geometries; rows, each with its place for messages, its geometry (None where it
        has none) and its values; and the coordinate reference system, None where it is not defined.

    Raises
    ------
    DataError
        If it is no GeoPackage, damaged, or has several layers.
    SettingError
        If it has no `layer`.
    """
    name = path.name
    with _reading(path) as db:
        try:
            tables = db.execute(
                "SELECT c.table_name, g.column_name, g.srs_id FROM gpkg_contents c JOIN gpkg_geometry_columns g "
                "ON c.table_name = g.table_name WHERE c.data_type = 'features' ORDER BY 1"
            ).fetchall()
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
            raise DataError(
                f"{name} is an SQLite file and no GeoPackage",
                fix=f"convert it, for example with: ogr2ogr places.gpkg {name}",
            ) from error
        named = [str(table) for table, _, _ in tables]
        if layer is not None and layer not in named:
            raise SettingError(
                f"{name} has no layer '{layer}' (its layers: {', '.join(named[:8]) or 'none'})",
                fix="name one with --layer",
            )
        if not tables:
            raise DataError(f"{name} has no layer of points or polygons", fix="export the layer of places")
        if layer is None and len(tables) > 1:
            raise DataError(f"{name} has {len(tables)} layers: {', '.join(named[:8])}", fix="choose one with --layer")
        table, geometry, srs = tables[0 if layer is None else named.index(layer)]
        cursor = db.execute(f"SELECT * FROM {_quoted(str(table))} LIMIT {MOST_PLACES + 1}")  # noqa: S608  (quoted)
        columns = [column[0] for column in cursor.description]
        if geometry not in columns:
            raise DataError(f"{name} has no column '{geometry}' of geometries", fix="export the layer again")
        at = columns.index(geometry)
        rows: list[Row] = []
        for number, values in enumerate(cursor, start=1):
            where = f"{name}, row {number}"
            shape = None if values[at] is None else decode_geometry(values[at], where=where)
            rows.append((where, shape, {c: v for c, v in zip(columns, values, strict=True) if c != geometry}))
        check_count(len(rows), name)
        crs = _system(db, srs, name)
    return [column for column in columns if column != geometry], rows, crs


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody is trusted to have written well, for reading alone."""
    # What QGIS has not yet written back is in a second file; else the file is read as it is, and none is made.
    waiting = path.with_name(f"{path.name}-wal")
    live = waiting.exists() and waiting.stat().st_size > 0
    uri = f"{path.resolve().as_uri()}?{'mode=ro' if live else 'mode=ro&immutable=1'}"
    steps = iter(range(_MOST_STEPS))
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BLOB)
            db.set_progress_handler(lambda: next(steps, None) is None, 10_000)
            db.execute("PRAGMA trusted_schema = OFF")
            db.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
            yield db
    except (sqlite3.Error, UnicodeError) as error:
        raise DataError(f"{path.name} is a damaged GeoPackage ({error})", fix="export it again") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _system(db: sqlite3.Connection, srs: Any, name: str) -> Any:
    found = db.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
    ).fetchone()
    if found is None or str(found[2]).strip().lower() in ("undefined", "none", ""):
        return None
    organization, code, definition = found
    for text in (f"{organization}:{code}", str(definition)):
        if not text.upper().startswith("NONE:"):
            with contextlib.suppress(CRSError, ValueError):
                return CRS.from_user_input(text)
    raise DataError(f"{name} is in a coordinate reference system that is not known", fix="name it with --places-crs")


def decode_geometry(blob: Any, *, where: str) -> Mapping[str, Any] | None:
    """Geometry of a GeoPackage as GeoJSON has it, with two dimensions; None where it is empty.

    Raises
    ------
    DataError
        If it is damaged, or neither points nor polygons.
    """
    try:
        if blob[:2] != b"GP" or blob[2] != 0:
            raise ValueError
        flags = blob[3]
        if flags & 0b10000:
            return None
        found, end = _decode_wkb(blob, 8 + _ENVELOPES[flags >> 1 & 7])
        if end != len(blob):
            raise ValueError
    except (struct.error, ValueError, IndexError, KeyError, TypeError):
        raise DataError(f"{where} has a damaged geometry", fix="correct it or leave it out") from None
    if isinstance(found, str):
        raise DataError(f"{where} is a {found}, and places are points or polygons", fix="buffer lines to polygons")
    return found if found["coordinates"] else None


def _decode_wkb(wkb: bytes, at: int) -> tuple[Any, int]:
    """A geometry of WKB and where it ends, or the name of one that is no place; see OGC 06-103r4, section 8."""
    order = {0: ">", 1: "<"}[wkb[at]]
    (code,) = struct.unpack_from(f"{order}I", wkb, at + 1)
    at += 5
    dimensions = (
        2 + {0: 0, 1: 1, 2: 1, 3: 2}[code % 10_000 // 1000] if code < 10_000 else 2 + (code >> 31) + (code >> 30 & 1)
    )
    if code >= 10_000 and code & 0x20000000:  # extended WKB, with the system in front
        at += 4
    kind = code % 1000 if code < 10_000 else code & 0xFF
    if kind in _OTHER_KINDS:
        return _OTHER_KINDS[kind], len(wkb)
    name = _KINDS[kind]
    if kind == 1:
        points, at = _points(wkb, at, 1, order, dimensions)
        # An empty point is written as NaN.
        return {"type": name, "coordinates": points[0] if points else []}, at
    (count,) = struct.unpack_from(f"{order}I", wkb, at)
    at += 4
    if count > len(wkb):
        raise ValueError
    parts: list[Any] = []
    for _ in range(count):
        if kind == 3:
            (length,) = struct.unpack_from(f"{order}I", wkb, at)
            ring, at = _points(wkb, at + 4, length, order, dimensions)
            if len(ring) < 4:
                raise ValueError
            parts.append(ring)
        else:
            inner, at = _decode_wkb(wkb, at)
            if isinstance(inner, str) or inner["type"] != name.removeprefix("Multi"):
                raise ValueError
            parts += [inner["coordinates"]] if inner["coordinates"] else []
    return {"type": name, "coordinates": parts}, at


def _points(wkb: bytes, at: int, count: int, order: str, dimensions: int) -> tuple[list[list[float]], int]:
    end = at + 8 * count * dimensions
    if end > len(wkb):
        raise ValueError
    values = np.frombuffer(wkb, f"{order}f8", count * dimensions, at).reshape(count, dimensions)[:, :2]
    if count == 1 and np.isnan(values).all():
        return [], end
    if not np.isfinite(values).all():
        raise ValueError
    return values.tolist(), end


def encode_geometry(geometry: Mapping[str, Any], *, srs: int) -> bytes:
    """Geometry of a GeoPackage, with its envelope, little-endian."""
    corners = np.array(_corners(geometry), np.float64)
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    header = b"GP\x00" + bytes([0b0011]) + struct.pack("<i4d", srs, west, east, south, north)
    return header + _encode_wkb(geometry["type"], geometry["coordinates"])


def _corners(geometry: Mapping[str, Any]) -> list[Any]:
    parts: list[Any] = [geometry["coordinates"]]
    for _ in range({"Point": 0, "MultiPoint": 1, "Polygon": 2, "MultiPolygon": 3}[geometry["type"]]):
        parts = [inner for part in parts for inner in part]
    return parts


def _encode_wkb(kind: str, coordinates: Any) -> bytes:
    start = struct.pack("<BI", 1, _CODES[kind])
    if kind == "Point":
        return start + struct.pack("<2d", *coordinates)
    if kind == "Polygon":
        rings = [struct.pack("<I", len(ring)) + np.asarray(ring, "<f8").tobytes() for ring in coordinates]
        return start + struct.pack("<I", len(rings)) + b"".join(rings)
    inner = [_encode_wkb(kind.removeprefix("Multi"), part) for part in coordinates]
    return start + struct.pack("<I", len(inner)) + b"".join(inner)


def write_layer(
    path: Path,
    geometries: Sequence[Mapping[str, Any]],
    *,
    crs: Any,
    columns: Mapping[str, Sequence[Any]],
    classes: Mapping[str, str] | None = None,
    class_column: str = "class",
    hidden: Sequence[str] = (),
    layer: str = "places",
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a layer of points or polygons, and a style for QGIS next to it.

    Parameters
    ----------
    path : Path
        GeoPackage to write; the style has its name with ``.qml``, and QGIS finds it there.
    geometries : sequence of mapping
        As GeoJSON has them, N of them.
    crs : rasterio.crs.CRS
        Reference system of their coordinates.
    columns : mapping of str to sequence
        N values each: text, numbers, bool, bytes (a picture) or None.
    classes : mapping of str to str, optional
        Color (RRGGBB) by class name; with it the style is written, which offers them in a drop-down, and the column
        :data:`NEW_CLASS` for others.
    class_column : str
        Column of the class names.
    hidden : sequence of str
        Columns that the style keeps from view.
    layer : str
        Name of the layer.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    SettingError
        If a raster of the same name lies there: QGIS would take the style for the raster's.
    OutputError
        As :func:`swath.files.atomic_files`.
    """
    style = path.with_suffix(".qml")
    for suffix in _RASTERS if classes is not None else ():
        if (raster := path.with_suffix(suffix)).exists():
            raise SettingError(
                f"QGIS would give the style of {path.name}, {style.name}, to {raster.name} as well",
                fix=f"choose another name, such as {path.with_stem(f'{path.stem}-places')}",
            )
    targets = [path] if classes is None else [path, style]
    if classes is not None:
        first = {class_column: columns[class_column], NEW_CLASS: [None] * len(geometries)}
        columns = {**first, **{name: values for name, values in columns.items() if name not in first}}
    with atomic_files(targets, overwrite=overwrite) as paths:
        # SQLite keeps a journal next to its file: none is needed for a file that gets its name when it is complete.
        with contextlib.closing(sqlite3.connect(paths[path])) as db:
            db.execute("PRAGMA journal_mode = OFF")
            _fill(db, layer, geometries, crs, columns)
            db.commit()
        if classes is not None:
            own = (class_column, NEW_CLASS, PICTURE, *hidden)
            text = places_style(
                classes,
                column=class_column,
                free=NEW_CLASS,
                shown=[name for name in columns if name not in own],
                hidden=hidden,
                picture=PICTURE if PICTURE in columns else None,
            )
            paths[style].write_text(text, encoding="utf-8")
    return tuple(targets)


def _fill(
    db: sqlite3.Connection,
    layer: str,
    geometries: Sequence[Mapping[str, Any]],
    crs: Any,
    columns: Mapping[str, Sequence[Any]],
) -> None:
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {_VERSION}")
    for statement in _SCHEMA:
        db.execute(statement)
    srs = _insert_systems(db, crs)
    kinds = {str(geometry["type"]) for geometry in geometries}
    kind = kinds.pop().upper() if len(kinds) == 1 else "GEOMETRY"
    defined = "".join(f", {_quoted(name)} {_type_of(values)}" for name, values in columns.items())
    db.execute(
        f'CREATE TABLE {_quoted(layer)} ("fid" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "geom" {kind}{defined})'
    )
    corners = np.array([corner for geometry in geometries for corner in _corners(geometry)], np.float64)
    box = (None,) * 4 if not len(corners) else (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    db.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, '', ?, ?, ?, ?, ?, ?)", (layer, layer, _MADE, *box, srs)
    )
    db.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (layer, kind, srs))
    slots = ", ".join("?" * (2 + len(columns)))
    rows = (
        (row, encode_geometry(geometry, srs=srs), *(_cell(values[row - 1]) for values in columns.values()))
        for row, geometry in enumerate(geometries, start=1)
    )
    db.executemany(f"INSERT INTO {_quoted(layer)} VALUES ({slots})", rows)  # noqa: S608  (quoted)


def _insert_systems(db: sqlite3.Connection, crs: Any) -> int:
    """Fill the table of systems; the id of `crs` in it."""
    wgs84 = CRS.from_epsg(4326)
    systems = [
        ("Undefined cartesian SRS", -1, "NONE", -1, "undefined"),
        ("Undefined geographic SRS", 0, "NONE", 0, "undefined"),
        ("WGS 84 geodetic", 4326, "EPSG", 4326, wgs84.to_wkt(version="WKT1_GDAL")),
    ]
    code = crs.to_epsg()
    if code != 4326:
        name = f"EPSG:{code}" if code else "of the scene"
        owner = "EPSG" if code else "NONE"
        systems.append((name, code or _NO_CODE, owner, code or _NO_CODE, crs.to_wkt(version="WKT1_GDAL")))
    db.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)", systems)
    return int(systems[-1][1])


def _type_of(values: Sequence[Any]) -> str:
    kinds = {type(_cell(value)) for value in values} - {type(None)}
    if kinds <= {int, float} and kinds:
        return "REAL" if float in kinds else "INTEGER"
    return "BLOB" if kinds == {bytes} else "TEXT"


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float | bytes) else str(value)


_RASTERS = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg")
_SCHEMA = (
    """CREATE TABLE gpkg_spatial_ref_sys (
    srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT)""",
    """CREATE TABLE gpkg_contents (
    table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE,
    max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))""",
    """CREATE TABLE gpkg_geometry_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
    z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
    CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id))""",
)
