"""A part of a scene: inside polygons the map of the whole scene, and nothing outside."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from swath.errors import DataError, MissingFileError, SettingError
from swath.inference import load
from swath.mapping import map_scene
from tests.imagery.products import COLOR_BANDS, numbers, write_safe
from tests.mapping.scenes import UTM, write_scene
from tests.tiny import CLASSES, input_spec, patches, write_tiny_model

PLACE = UTM["transform"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    spec = input_spec().model_copy(update={"rendering": "eurosat"})
    return load(write_tiny_model(tmp_path_factory.mktemp("m") / "t.onnx", spec=spec), engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def pixels():
    rows = [np.concatenate([patches(c, 1, seed=row)[0] for c in CLASSES * 2], axis=2) for row in range(6)]
    return np.concatenate(rows, axis=1)  # 384 x 512


def polygon(*corners):
    """A ring in coordinates from pixels (column, row)."""
    ring = [list(PLACE @ corner) for corner in (*corners, corners[0])]
    return {"type": "Polygon", "coordinates": [ring]}


def write_polygons(path, *geometries, crs="EPSG:32632"):
    features = [{"type": "Feature", "properties": {"id": k}, "geometry": g} for k, g in enumerate(geometries)]
    system = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": system}))
    return path


TRIANGLE = polygon((200, 150), (330, 180), (240, 290))
CLOUD = polygon((230, 170), (270, 170), (270, 230), (230, 230))


@pytest.mark.parametrize(("kind", "stride"), [("8-bit", 16), ("8-bit", 48), ("product", None)])
def test_inside_it_is_the_map_of_the_whole_scene(model, pixels, tmp_path, stride, kind):
    aoi = write_polygons(tmp_path / "aoi.geojson", TRIANGLE)
    mask = write_polygons(tmp_path / "clouds.geojson", CLOUD)
    if kind == "8-bit":
        scene = write_scene(tmp_path / "s.tif", pixels)
    else:  # 0 is no data in rescaled pictures, and windows at the edge must not see it
        scene = write_safe(tmp_path, dict(zip(COLOR_BANDS, (numbers(pixels) + 1000).astype(np.uint16), strict=True)))
    made = map_scene(model, scene, stride=stride, aoi=aoi, mask=mask)
    whole = map_scene(model, scene, stride=made.stride)
    top, left = made.part.row, made.part.column
    assert (made.height, made.width) < (whole.height, whole.width)
    assert (made.part.scene_height, made.part.scene_width) == (384, 512)
    inside = rasterize([TRIANGLE], (384, 512), transform=PLACE) > 0
    inside &= rasterize([CLOUD], (384, 512), transform=PLACE) == 0
    box = np.s_[top : top + made.height, left : left + made.width]
    assert inside[box].sum() == inside.sum(), "all of it lies in the box"
    mapped = made.array > 0
    assert (mapped != inside[box]).mean() < 0.003, "but for pixels that an edge halves"
    np.testing.assert_array_equal(made.array[mapped], whole.array[box][mapped])
    np.testing.assert_array_equal(made.confidence[mapped], whole.confidence[box][mapped])
    assert made.transform @ (0, 0) == PLACE @ (left, top)
    assert made.classified < whole.classified
    assert sum(made.hectares.values()) == pytest.approx(mapped.sum() / 100, rel=0.01)


def test_what_was_mapped_is_recorded(model, pixels, tmp_path):
    aoi = write_polygons(tmp_path / "aoi.geojson", TRIANGLE)
    scene = write_scene(tmp_path / "s.tif", pixels)
    files = map_scene(model, scene, out=tmp_path / "map.tif", stride=64, aoi=aoi).files
    part = json.loads(files.record.read_text())["part"]
    assert part == {
        "aoi": "aoi.geojson",
        "mask": None,
        "row": 64,
        "column": 128,
        "scene_height": 384,
        "scene_width": 512,
    }
    with rasterio.open(files.classes) as made:
        assert made.tags()["SWATH_AOI"] == "aoi.geojson"
        assert made.shape == (384 - 64 - (384 - 290 - 64), 330 + 64 - 128)


def test_polygons_of_another_system_and_a_mask_alone(model, pixels, tmp_path):
    from rasterio.warp import transform_geom

    scene = write_scene(tmp_path / "s.tif", pixels)
    lonlat = transform_geom("EPSG:32632", "EPSG:4326", CLOUD)
    mask = write_polygons(tmp_path / "clouds.geojson", lonlat, crs="EPSG:4326")
    made = map_scene(model, scene, stride=64, mask=mask)
    clouds = rasterize([CLOUD], (384, 512), transform=PLACE) > 0
    assert ((made.array == 0) != clouds).mean() < 0.001
    assert made.array.shape == (384, 512)


def test_what_cannot_be_laid_over_the_scene_is_refused(model, pixels, tmp_path):
    scene = write_scene(tmp_path / "s.tif", pixels)
    away = write_polygons(tmp_path / "away.geojson", polygon((9000, 9000), (9100, 9000), (9100, 9100)))
    with pytest.raises(DataError, match=r"no polygon of away\.geojson lies in the scene"):
        map_scene(model, scene, aoi=away)
    point = write_polygons(tmp_path / "point.geojson", {"type": "Point", "coordinates": list(PLACE @ (10, 10))})
    with pytest.raises(DataError, match="is a Point, and --aoi takes polygons"):
        map_scene(model, scene, aoi=point)
    with pytest.raises(MissingFileError, match="there is no file of polygons"):
        map_scene(model, scene, mask=tmp_path / "none.gpkg")
    aoi = write_polygons(tmp_path / "aoi.geojson", TRIANGLE)
    with pytest.raises(SettingError, match="has no coordinate reference system"):
        map_scene(model, pixels, aoi=aoi)
    with pytest.raises(SettingError, match="a stride of 100 pixels does not fit"):
        map_scene(model, scene, aoi=aoi, stride=100)
