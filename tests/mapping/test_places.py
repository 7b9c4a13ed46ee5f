from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from swath.errors import DataError, MissingFileError, SettingError
from swath.mapping.places import LabeledPlace, Places, match_names, read_places, write_places

SQUARE = [[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]]


def geojson(path, geometries, labels, *, column="class", crs=None):
    features = [
        {"type": "Feature", "geometry": geometry, "properties": {column: label, "note": "n"}}
        for geometry, label in zip(geometries, labels, strict=True)
    ]
    whole = {"type": "FeatureCollection", "features": features} | ({} if crs is None else {"crs": crs})
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def test_geojson_is_in_longitude_and_latitude_and_keeps_its_columns(tmp_path):
    kinds = [
        {"type": "Point", "coordinates": [11.5, 48.1, 520.0]},
        {"type": "Polygon", "coordinates": SQUARE},
        {"type": "MultiPolygon", "coordinates": [SQUARE]},
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
    ]
    places = read_places(geojson(tmp_path / "p.geojson", kinds, ["Forest", "River", "", None]))
    assert [row.label for row in places.rows] == ["Forest", "River", None, None]
    assert places.rows[0].geometry == point(11.5, 48.1)
    assert places.rows[1].attributes == {"note": "n"}
    assert places.crs.to_epsg() == 4326
    assert places.counts == {"Forest": 1, "River": 1}
    labeled = places.labeled()
    assert len(labeled.rows) == 2
    assert "2 of 4 places" in labeled.notes[0]


def test_older_geojson_says_its_system(tmp_path):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    places = read_places(geojson(tmp_path / "p.geojson", [point(500000, 5300000)], ["a"], crs=crs))
    x, y = places.to_crs("EPSG:4326").rows[0].geometry["coordinates"]
    assert (round(x, 6), round(y, 1)) == (9.0, 47.9)


def test_a_table_is_read_in_the_ways_people_write_it(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("id;Longitude;Latitude;Class\n1;11,5;48,1;Forest\n2;;;River\n3;11,6;48,2;River\n")
    places = read_places(table)
    assert [row.geometry["coordinates"] for row in places.rows] == [[11.5, 48.1], [11.6, 48.2]]
    assert "1 rows of p.csv have no geometry" in places.notes[0]
    table.write_text("x,y,label\n500000,5300000,a\n")
    assert read_places(table, crs="EPSG:32632").crs.to_epsg() == 32632
    with pytest.raises(DataError, match="does not say in which coordinate") as caught:
        read_places(table)
    assert "--places-crs" in caught.value.fix
    table.write_text("x,y,label,crs\n500000,5300000,a,EPSG:32632\n")
    assert read_places(table).crs.to_epsg() == 32632


def test_regions_of_a_raster_of_labels_are_places(tmp_path):
    values = np.zeros((40, 60), np.uint8)
    values[2:10, 3:20], values[20:30, 5:10], values[20:30, 40:50] = 1, 2, 2
    profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(
        tmp_path / "l.tif", "w", crs="EPSG:32632", transform=Affine(10, 0, 500000, 0, -10, 5300000), **profile
    ) as out:
        out.write(values, 1)
        out.update_tags(1, class_names=json.dumps(["No data", "Forest", "River"]))
    places = read_places(tmp_path / "l.tif")
    assert places.counts == {"Forest": 1, "River": 2}
    assert {row.geometry["type"] for row in places.rows} == {"Polygon"}
    with rasterio.open(tmp_path / "n.tif", "w", **profile) as out:
        out.write(values, 1)
    with pytest.raises(DataError, match="does not say in which coordinate"):
        read_places(tmp_path / "n.tif")
    assert read_places(tmp_path / "n.tif", crs=32632).counts == {"1": 1, "2": 2}


def test_the_column_of_classes_is_found_or_asked_for(tmp_path):
    path = geojson(tmp_path / "p.geojson", [point(1, 2)], ["a"], column="what")
    with pytest.raises(DataError, match=r"no column of class names .*'what', 'note'") as caught:
        read_places(path)
    assert "--label-field" in caught.value.fix
    assert read_places(path, label_field="what").counts == {"a": 1}
    assert read_places(path, need_labels=False).rows[0].label is None
    with pytest.raises(SettingError, match="no column 'where'"):
        read_places(path, label_field="where")


def test_a_class_that_the_drop_down_lacks_is_written_next_to_it(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("lon,lat,class,new_class\n1,2,Forest,\n1,3,,wetland\n1,4,,\n")
    places = read_places(table)
    assert [row.label for row in places.rows] == ["Forest", "wetland", None]
    table.write_text("lon,lat,class,new_class\n1,2,Forest,wetland\n")
    with pytest.raises(DataError, match=r"line 2 is 'Forest' in column 'class' and 'wetland' in column 'new_class'"):
        read_places(table)
    assert read_places(table, label_field="class").counts == {"Forest": 1}
    assert read_places(table, label_field="new_class").counts == {"wetland": 1}
    table.write_text("lon,lat,class,reference\n1,2,Forest,River\n")
    assert read_places(table, usual="reference").counts == {"River": 1}
    assert read_places(table, usual="what").counts == {"Forest": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"type": "Topology"}', "no GeoJSON"),
        (b'{"type": "FeatureCollection", "features": [3]}', "feature 1 is no GeoJSON feature"),
        (b'{"type": "FeatureCollection", "features": []}', "holds no places|no column"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"<?xml version='1.0'?><kml>", "KML"),
        (b"PK\x03\x04abc", "zip archive"),
        (b"\x00\x00\x27\x0a" + bytes(90), "Shapefile"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "Git LFS"),
        (b"SQLite format 3\0" + bytes(90), "damaged GeoPackage"),
        (b"a,b\n1,2\n", "no columns of coordinates"),
        (b"lon,lat,class\n1,two,x\n", "line 2 has 'two'"),
        (b"lon,lat,class\n1,nan,x\n", "line 2 has 'nan'"),
        (b"lon,lat,class\n500000,5300000,x\n", "no longitude and latitude"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)), "is no text|NUL"),
    ],
)
def test_what_is_no_file_of_places_ends_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "p.dat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_places(path)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "is a LineString"),
        ({"type": "Point", "coordinates": ["1", "2"]}, "make no Point"),
        ({"type": "Point", "coordinates": [1]}, "make no Point"),
        ({"type": "Point", "coordinates": [float("nan"), 1]}, "make no Point"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "make no Polygon"),
        ({"type": "Polygon"}, "make no Polygon"),
        ("Point", "no geometry"),
    ],
)
def test_a_geometry_that_is_no_place_is_named(tmp_path, geometry, message):
    with pytest.raises(DataError, match=f"p.geojson, feature 2 .*{message}"):
        read_places(geojson(tmp_path / "p.geojson", [point(1, 2), geometry], ["a", "b"]))


def test_missing_files_and_wrong_options(tmp_path):
    with pytest.raises(MissingFileError):
        read_places(tmp_path / "p.gpkg")
    path = geojson(tmp_path / "p.geojson", [point(1, 2)], ["a"])
    with pytest.raises(SettingError, match="has no layers"):
        read_places(path, layer="x")
    with pytest.raises(SettingError, match="is not a coordinate reference system"):
        read_places(path, crs="EPSG:1")
    with pytest.raises(DataError, match="none of the 1 places"):
        read_places(geojson(path, [point(1, 2)], [""])).labeled()


def test_classes_are_matched_as_people_spell_them():
    found, notes = match_names(["sea lake", "Forêt", "foret", "Dump", "River"], ["River", "SeaLake", "Foret"])
    assert found == {"River": "River", "sea lake": "SeaLake", "Forêt": "Foret", "foret": "Foret"}
    assert len(notes) == 3


def test_places_beyond_a_projection_are_left_out_and_named(tmp_path):
    path = geojson(tmp_path / "p.geojson", [point(9, 48), point(99.1, 0)], ["a", "a"])
    found = read_places(path).to_crs("EPSG:32632")
    assert len(found.rows) == 1
    assert "1 places lie beyond the area of EPSG:32632 and were left out: p.geojson, feature 2" in found.notes
    with pytest.raises(DataError, match=r"no place of p.geojson lies where EPSG:32632"):
        read_places(geojson(path, [point(99.1, 0)], ["a"])).to_crs("EPSG:32632")


def test_what_is_written_is_read_again(tmp_path):
    rows = (
        LabeledPlace(point(500000.5, 5300000.25), "Forest", "", {"note": "=1", "score": 0.5, "n": 3}),
        LabeledPlace(point(500010, 5300000), None, "", {"note": None, "score": None, "n": 4}),
    )
    made = Places(rows, rasterio.crs.CRS.from_epsg(32632), "p.gpkg", "class")
    files = write_places(tmp_path / "p.gpkg", made, classes={"Forest": "00ff00", "A & B": "0000ff"})
    assert [file.name for file in files] == ["p.gpkg", "p.qml"]
    found = read_places(tmp_path / "p.gpkg")
    assert [(row.geometry, row.label) for row in found.rows] == [(row.geometry, row.label) for row in rows]
    assert found.rows[0].attributes == {"fid": 1, "note": "=1", "score": 0.5, "n": 3}
    assert found.crs.to_epsg() == 32632
    with pytest.raises(SettingError, match="as GeoPackage"):
        write_places(tmp_path / "p.shp", made)


def test_places_beyond_a_projection_are_left_out_also_when_gdal_has_said_so_often(tmp_path):
    path = geojson(tmp_path / "p.geojson", [point(9, 48), *(point(99.1, 0) for _ in range(40))], ["a"] * 41)
    places = read_places(path)
    for _ in range(3):
        assert len(places.to_crs("EPSG:32632").rows) == 1
