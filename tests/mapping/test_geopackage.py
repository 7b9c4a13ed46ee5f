from __future__ import annotations

import random
import sqlite3
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from swath.errors import DataError, OutputError, SettingError
from swath.mapping.geopackage import decode_geometry, encode_geometry, read_layer, write_layer

UTM = CRS.from_epsg(32632)
RING = [[0.0, 0.0], [0.0, 9.0], [9.0, 9.0], [9.0, 0.0], [0.0, 0.0]]
HOLE = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
GEOMETRIES = [
    {"type": "Point", "coordinates": [1.5, -2.25]},
    {"type": "MultiPoint", "coordinates": [[1.0, 2.0], [3.0, 4.0]]},
    {"type": "Polygon", "coordinates": [RING, HOLE]},
    {"type": "MultiPolygon", "coordinates": [[RING], [RING, HOLE]]},
]


@pytest.fixture
def path(tmp_path):
    labels = ["a", "b", None, "d"]
    write_layer(tmp_path / "p.gpkg", GEOMETRIES, crs=UTM, columns={"class": labels, "picture": [b"\x89PNG"] * 4})
    return tmp_path / "p.gpkg"


def test_a_layer_comes_back_as_it_was(path):
    columns, rows, crs = read_layer(path)
    assert columns == ["fid", "class", "picture"]
    assert [geometry for _, geometry, _ in rows] == GEOMETRIES
    assert rows[3] == ("p.gpkg, row 4", GEOMETRIES[3], {"fid": 4, "class": "d", "picture": b"\x89PNG"})
    assert crs == UTM
    assert sorted(file.name for file in path.parent.iterdir()) == ["p.gpkg"]


def test_the_file_is_what_the_standard_asks_for(path):
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    assert {row[0] for row in db.execute("SELECT srs_id FROM gpkg_spatial_ref_sys")} == {-1, 0, 4326, 32632}
    contents = db.execute("SELECT table_name, data_type, min_x, min_y, max_x, max_y, srs_id FROM gpkg_contents")
    assert contents.fetchall() == [("places", "features", 0.0, -2.25, 9.0, 9.0, 32632)]
    kind = db.execute("SELECT column_name, geometry_type_name, srs_id, z, m FROM gpkg_geometry_columns")
    assert kind.fetchall() == [("geom", "GEOMETRY", 32632, 0, 0)]
    db.close()


def test_the_same_places_give_the_same_bytes(path, tmp_path):
    _, rows, crs = read_layer(path)
    columns = {name: [values[name] for _, _, values in rows] for name in ("class", "picture")}
    write_layer(tmp_path / "q.gpkg", GEOMETRIES, crs=crs, columns=columns)
    assert (tmp_path / "q.gpkg").read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_layer(path, GEOMETRIES, crs=crs, columns=columns)


def test_a_system_without_a_code_is_kept(tmp_path):
    own = CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m")
    write_layer(tmp_path / "p.gpkg", GEOMETRIES[:1], crs=own, columns={})
    assert read_layer(tmp_path / "p.gpkg")[2] == own


def change(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_layers_are_chosen_by_name(path):
    change(
        path,
        'CREATE TABLE "o""x" (geom BLOB, class TEXT)',
        """INSERT INTO gpkg_contents SELECT 'o"x', 'features', 'other', '', last_change, 0, 0, 0, 0, 4326
        FROM gpkg_contents""",
        "INSERT INTO gpkg_geometry_columns VALUES ('o\"x', 'geom', 'POINT', 4326, 0, 0)",
    )
    with pytest.raises(DataError, match="has 2 layers") as caught:
        read_layer(path)
    assert "--layer" in caught.value.fix
    assert len(read_layer(path, layer="places")[1]) == 4
    assert read_layer(path, layer='o"x')[1] == []
    with pytest.raises(SettingError, match="no layer 'z'"):
        read_layer(path, layer="z")


def test_an_undefined_system_is_none_and_an_unknown_one_is_refused(path):
    change(path, "UPDATE gpkg_geometry_columns SET srs_id = -1")
    assert read_layer(path)[2] is None
    change(path, "UPDATE gpkg_spatial_ref_sys SET definition = 'nonsense' WHERE srs_id = -1")
    with pytest.raises(DataError, match="not known"):
        read_layer(path)


def test_databases_that_are_no_geopackage_end_in_one_sentence(tmp_path, path):
    other = tmp_path / "o.sqlite"
    change(other, "CREATE TABLE a (b)")
    with pytest.raises(DataError, match="no GeoPackage"):
        read_layer(other)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS geom FROM c WHERE x < 0"
    change(path, "DROP TABLE places", f"CREATE VIEW places AS {endless}")
    with pytest.raises(DataError, match=r"damaged GeoPackage .*interrupted"):
        read_layer(path)


def test_a_cut_short_file_ends_in_one_sentence(path):
    data = path.read_bytes()
    drawn = random.Random(0)
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(20):
            damaged[drawn.randrange(100, len(data))] = drawn.randrange(256)
        path.write_bytes(damaged[: drawn.randrange(100, len(data))])
        try:
            read_layer(path)
        except (DataError, SettingError) as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_cut_and_flip_of_a_geometry_is_damaged_or_read(geometry):
    blob = encode_geometry(geometry, srs=1)
    assert decode_geometry(blob, where="row 1") == geometry
    for end in range(len(blob)):
        with pytest.raises(DataError, match="damaged geometry"):
            decode_geometry(blob[:end], where="row 1")


@given(st.binary(max_size=80))
def test_bytes_that_nobody_meant_end_in_one_sentence(data):
    for blob in (data, b"GP\0\x01" + bytes(4) + data, b"GP\0\x01" + bytes(4) + b"\x01\x06\0\0\0" + data):
        try:
            decode_geometry(blob, where="row 1")
        except DataError as error:
            assert "row 1" in str(error)  # noqa: PT017


def test_other_dimensions_and_byte_orders_are_read():
    header = b"GP\0\x00" + bytes(4)
    for code in (1001, 0x80000001):
        assert decode_geometry(header + struct.pack(">BI3d", 0, code, 1, 2, 3), where="") == {
            "type": "Point",
            "coordinates": [1.0, 2.0],
        }
    nothing = header + struct.pack("<BI2d", 1, 1, float("nan"), float("nan"))
    assert decode_geometry(nothing, where="") is None
    with pytest.raises(DataError, match="row 1 is a LineString"):
        decode_geometry(header + struct.pack("<BII", 1, 2, 0), where="row 1")


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_a_style_is_never_given_to_a_raster_of_the_same_name(tmp_path, suffix):
    raster, own = tmp_path / f"map{suffix}", tmp_path / "map.qml"
    raster.touch()
    own.write_text("the map's")
    layer = {"geometries": GEOMETRIES[:1], "crs": UTM, "columns": {"class": ["Forest"]}}
    with pytest.raises(SettingError, match=r"map\.qml, to map") as caught:
        write_layer(tmp_path / "map.gpkg", **layer, classes={"Forest": "175A33"}, overwrite=True)
    assert "map-places.gpkg" in caught.value.fix
    assert own.read_text() == "the map's"
    assert not (tmp_path / "map.gpkg").exists()
    write_layer(tmp_path / "map.gpkg", **layer)  # without a style there is nothing to mistake
