"""Maps of rasters as other programs write them: each holds one habit of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

import swath
from swath.errors import DataError, OutputError, SettingError
from swath.imagery import decode
from swath.mapping import map_scene
from tests.mapping.scenes import UTM, write_scene


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return swath.load(tiny_model)


def pixels(count=3, dtype="uint8", *, high=200, side=64):
    return np.random.default_rng(3).integers(10, high, (count, side, side)).astype(dtype)


def said(made):
    return " / ".join(made.warnings)


# --- where there is data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_alpha_band_masks_the_others_wherever_it_stands(tmp_path, classifier, place):
    values = pixels(5)
    values[place, :32] = 0
    values[place, 32:] = 255
    path = write_scene(tmp_path / "s.tif", values, photometric="MINISBLACK")
    colors = [ColorInterp.undefined] * 5
    colors[place] = ColorInterp.alpha
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = colors
    made = map_scene(classifier, path)
    assert made.nodata_pixels == 32 * 64
    assert place + 1 not in made.bands.indexes
    with pytest.raises(SettingError, match=f"no band {place + 1} to classify by"):
        map_scene(classifier, path, bands=[place + 1, 2, 4])


@pytest.mark.parametrize("gap", [np.inf, -np.inf, np.nan])
def test_what_is_no_number_is_no_data(tmp_path, classifier, gap):
    values = pixels(3, "float32", high=2500)
    values[:, :32] = gap
    made = map_scene(classifier, write_scene(tmp_path / "s.tif", values), rescale=(0, 2750))
    assert made.nodata_pixels == 32 * 64


def test_a_value_that_no_pixel_can_have_is_refused(tmp_path, classifier):
    path = write_scene(tmp_path / "s.tif", pixels())
    for value in (-9999, 256, 0.5, float("nan")):
        with pytest.raises(SettingError, match="--nodata"):
            map_scene(classifier, path, nodata=value)


def test_a_few_pixels_of_data_are_a_map(tmp_path, classifier):
    values = np.zeros((3, 64, 64), np.uint8)
    values[:, 21:23, 33:35] = 90
    made = map_scene(classifier, write_scene(tmp_path / "s.tif", values, nodata=0))
    assert made.nodata_pixels == 64 * 64 - 4
    assert "nothing was mapped" not in said(made)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "dtype", "fix"), [(1e-4, "float32", "0:0.275"), (1e-2, "float64", "0:27.5"), (1e-3, "int16", "99 %")]
)
def test_a_range_that_leaves_nothing_to_see_stops_the_run(tmp_path, classifier, scale, dtype, fix):
    values = (pixels(3, "float64", high=2500) * scale).astype(dtype)
    path = write_scene(tmp_path / "s.tif", values)
    with pytest.raises(DataError, match="on one value") as caught:
        map_scene(classifier, path, rescale=(0, 2750))
    assert fix in caught.value.fix


def test_dark_water_is_something_to_see(tmp_path, classifier):
    values = pixels(3, "uint16", high=30) + np.array([60, 110, 160], "uint16")[:, None, None]
    map_scene(classifier, write_scene(tmp_path / "s.tif", values), rescale=(0, 2750))


def test_a_scale_that_the_file_states_is_told(tmp_path, classifier):
    path = write_scene(tmp_path / "s.tif", pixels(3, "uint16", high=2500))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 3, (-0.1,) * 3
    with pytest.raises(DataError, match="--rescale 1000:3750"):
        map_scene(classifier, path)
    assert "scale of 0.0001 and an offset of -0.1" in said(map_scene(classifier, path, rescale=(1000, 3750)))


@pytest.mark.parametrize("bits", [1, 2, 4, 7])
def test_values_of_few_bits_are_those_that_predict_sees(tmp_path, classifier, bits):
    path = write_scene(tmp_path / "s.tif", pixels() % (2**bits), nbits=bits)
    seen = decode(path).pixels
    assert seen.max() == 255
    np.testing.assert_array_equal(map_scene(classifier, path).array, map_scene(classifier, seen).array)


def test_a_palette_is_mapped_by_its_colors(tmp_path, classifier):
    path = write_scene(tmp_path / "s.tif", pixels(1), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, 255 - i, i // 2, 255) for i in range(256)})
    np.testing.assert_array_equal(map_scene(classifier, path).array, map_scene(classifier, decode(path).pixels).array)


def test_gray_is_taken_for_all_three_colors_and_told(tmp_path, classifier):
    path = write_scene(tmp_path / "s.tif", pixels(1))
    made = map_scene(classifier, path)
    assert "gray" in said(made)
    np.testing.assert_array_equal(made.array, map_scene(classifier, np.repeat(decode(path).pixels, 3, axis=0)).array)


@pytest.mark.parametrize(
    ("names", "indexes"),
    [
        (("B02_10m", "B03_10m", "B04_10m", "B08_10m"), (3, 2, 1)),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"), (4, 3, 2)),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), (3, 2, 1)),  # Landsat 5 and 7
        (("B2_median", "B3_median", "B4_median", "B8_median"), (3, 2, 1)),
        (("reflectance_blue", "reflectance_green", "reflectance_red"), (3, 2, 1)),
        (("S2A_T32TQM_20200614_B02", "S2A_T32TQM_20200614_B03", "S2A_T32TQM_20200614_B04"), (3, 2, 1)),
        (("red edge 1", "Blue", "Green", "Red"), (4, 3, 2)),
    ],
)
def test_bands_go_by_the_word_that_names_them(tmp_path, classifier, names, indexes):
    path = write_scene(tmp_path / "s.tif", pixels(len(names)), photometric="MINISBLACK", names=names)
    assert map_scene(classifier, path).bands.indexes == indexes


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_link_finds_what_lies_beside_it(tmp_path, classifier):
    store = tmp_path / "store"
    store.mkdir()
    write_scene(store / "ab12.png", pixels(), driver="PNG", crs=None, transform=None)
    (tmp_path / "s.png").symlink_to(store / "ab12.png")
    (tmp_path / "s.pgw").write_text("10\n0\n0\n-10\n600005\n5399995\n")
    made = map_scene(classifier, tmp_path / "s.png", crs="EPSG:32632")
    assert tuple(made.transform)[:6] == (10, 0, 600_000, 0, -10, 5_400_000)


HEIGHT = CRS.from_epsg(4979)  # longitude, latitude and ellipsoidal height
ROTATED = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.0174532925199433"


@pytest.mark.parametrize("system", [HEIGHT, CRS.from_proj4(ROTATED), CRS.from_epsg(32632)])
def test_every_raster_has_the_reference_system_of_the_scene(tmp_path, classifier, system):
    """Some cannot be said in a GeoTIFF, and go to the file beside it."""
    out = tmp_path / "m.tif"
    place = {"transform": Affine(0.001, 0, 9, 0, -0.001, 49)}
    made = map_scene(classifier, pixels(), out=out, crs=system, probabilities=True, **place)
    for path in (made.files.classes, made.files.confidence, made.files.probabilities):
        with rasterio.open(path) as dataset:
            assert dataset.crs == system
    with rasterio.open(out) as dataset:
        assert dataset.tags(1)["class_names"]


def test_control_points_are_told_with_what_makes_a_grid_of_them(tmp_path, classifier):
    path = write_scene(tmp_path / "s.tif", pixels(), crs=None, transform=None)
    points = [GroundControlPoint(r, c, 6e5 + 10 * c, 5.4e6 - 10 * r) for r in (0, 64) for c in (0, 64)]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, CRS.from_epsg(32632))
    text = said(map_scene(classifier, path))
    assert "4 ground control points in EPSG:32632" in text
    assert "gdalwarp" in text


def test_meters_under_the_name_of_degrees_have_no_areas(classifier):
    made = map_scene(classifier, pixels(), crs="EPSG:4326", transform=UTM["transform"])
    assert made.hectares is None
    assert "are not the degrees" in said(made)
    assert "0 m wide" not in said(made)


def test_a_mercator_scene_has_the_areas_and_pixels_of_the_ground(classifier):
    transform = Affine(20, 0, 1e6, 0, -20, 8.4e6)  # 10 m on the ground, at 60 degrees north
    made = map_scene(classifier, pixels(), crs="EPSG:3857", transform=transform)
    assert sum(made.hectares.values()) == pytest.approx(64 * 64 / 100, rel=0.01)
    assert "resample" not in said(made)


def test_another_programs_proj_data_do_no_harm(tmp_path, tiny_model):
    """Conda, QGIS and PostGIS export PROJ_DATA; the folder may hold anything."""
    path = write_scene(tmp_path / "s.tif", pixels(), crs="EPSG:2263", transform=Affine(30, 0, 1e6, 0, -30, 2e5))
    (tmp_path / "elsewhere").mkdir()
    code = (
        "import swath, sys\nmade = swath.map_scene(sys.argv[1], sys.argv[2], out=sys.argv[3])\n"
        "print(made.crs.to_string(), round(sum(made.hectares.values()), 3))"
    )
    found = []
    for name, extra in (("a", {}), ("b", dict.fromkeys(("PROJ_DATA", "PROJ_LIB"), str(tmp_path / "elsewhere")))):
        out = tmp_path / f"{name}.tif"
        command = [sys.executable, "-c", code, str(tiny_model), str(path), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | extra, check=True)
        with rasterio.open(out) as dataset:
            found.append((done.stdout, dataset.crs.to_epsg()))
    assert found[0] == found[1]
    assert found[0][1] == 2263


# --- files -----------------------------------------------------------------------------------------------------------


def test_statistics_of_the_older_map_go_with_it(tmp_path, classifier):
    out = tmp_path / "m.tif"
    made = map_scene(classifier, pixels(high=60), out=out)
    with rasterio.open(made.files.confidence) as dataset:
        dataset.stats(indexes=[1])
    (tmp_path / "m.tif.msk").write_bytes(out.read_bytes())
    assert Path(f"{made.files.confidence}.aux.xml").exists()
    with pytest.raises(OutputError, match="--overwrite"):
        map_scene(classifier, pixels(), out=out)
    map_scene(classifier, pixels(), out=out, overwrite=True)
    assert not Path(f"{made.files.confidence}.aux.xml").exists()
    assert not (tmp_path / "m.tif.msk").exists()


def test_all_rasters_name_the_run_and_the_model(tmp_path, classifier):
    import json

    runs = []
    for _ in range(2):
        made = map_scene(classifier, pixels(), out=tmp_path / "m.tif", probabilities=True, overwrite=True)
        record = json.loads(made.files.record.read_text())
        for path in (made.files.classes, made.files.confidence, made.files.probabilities):
            with rasterio.open(path) as dataset:
                assert dataset.tags()["SWATH_RUN"] == record["run"]
                assert dataset.tags()["SWATH_MODEL_SHA256"] == record["model"]["sha256"]
        runs.append(record["run"])
    assert runs[0] != runs[1]


def test_two_runs_at_one_target_do_not_meet(tmp_path, classifier):
    """The second is refused while the first one lives, and the first ends whole."""
    out, begun, done = tmp_path / "m.tif", threading.Event(), threading.Event()

    def wait(*_, **__):
        begun.set()
        done.wait(60)

    first = threading.Thread(target=map_scene, args=(classifier, pixels()), kwargs={"out": out, "progress": wait})
    first.start()
    begun.wait(60)
    try:
        with pytest.raises(OutputError, match="being written by another run"):
            map_scene(classifier, pixels(), out=out, overwrite=True)
    finally:
        done.set()
        first.join()
    with rasterio.open(out) as dataset:
        assert dataset.shape == (64, 64)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("out", ["s3://bucket/m.tif", "gs://bucket/m.tif", "https://host.example/m.tif"])
def test_maps_are_written_to_local_files(tmp_path, monkeypatch, classifier, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="not on this machine"):
        map_scene(classifier, pixels(), out=out)
    assert list(tmp_path.iterdir()) == []
