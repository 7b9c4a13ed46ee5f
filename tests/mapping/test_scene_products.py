"""A product is mapped as it is downloaded, and its map is that of the same scene drawn by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery import rescale_reflectance
from swath.imagery.sentinel2 import OFFSET, SLOPE
from swath.inference import load
from swath.mapping import map_scene
from tests.imagery.products import COLOR_BANDS, numbers, write_landsat, write_safe, zipped
from tests.mapping.scenes import write_scene
from tests.tiny import CLASSES, input_spec, patches, write_tiny_model

AIR = np.array(SLOPE)[:, None, None], np.array(OFFSET)[:, None, None]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    spec = input_spec().model_copy(update={"rendering": "eurosat"})
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", spec=spec)
    return load(path, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def toa():
    """DN at the top of the atmosphere [3, H, W] of a scene of all classes; -1000 where there is no data."""
    rows = [np.concatenate([patches(c, 1, seed=row)[0] for c in CLASSES], axis=2) for row in range(2)]
    made = numbers(np.concatenate(rows, axis=1))
    made[:, :40, :30] = -1000
    return made


def as_stored(dn, added):
    return {
        name: np.where(band == -1000, 0, band + added).astype(np.uint16)
        for name, band in zip(COLOR_BANDS, dn, strict=True)
    }


@pytest.mark.parametrize(
    ("baseline", "offset", "form"), [("02.14", None, "zip"), ("04.00", -1000, "folder"), ("05.11", -1000, "zip")]
)
@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_the_map_is_that_of_the_scene_drawn_by_hand(model, toa, tmp_path, level, baseline, offset, form):
    added = -(offset or 0)
    # Of the surface: the air of the top of the atmosphere taken off.
    dn = toa if level == "L1C" else np.where(toa < 0, -1000, np.rint((toa - AIR[1]) / AIR[0]).clip(1))
    bands = as_stored(dn, added)
    folder = write_safe(tmp_path, bands, level=level, baseline=baseline, offset=offset)
    made = map_scene(model, zipped(folder) if form == "zip" else folder, name="safe")
    stack = np.stack([bands[name] for name in COLOR_BANDS])
    if level == "L2A":  # the air put back, drawn as EuroSAT was
        seen = AIR[0] * (stack.astype(float) - added) + AIR[1]
        by_hand = np.where(stack == 0, 0, rescale_reflectance(seen, low=0, high=2750, nodata=None))
    else:
        by_hand = rescale_reflectance(stack, low=added, high=2750 + added)
    plain = write_scene(tmp_path / "by_hand.tif", by_hand.astype(np.uint8), nodata=0)
    wanted = map_scene(model, plain, rescale="off")
    assert made.array.tobytes() == wanted.array.tobytes()
    assert made.confidence.tobytes() == wanted.confidence.tobytes()
    assert not made.warnings
    with_1000 = " with 1000 added" if added else ""
    assert made.rescale.sentence.startswith(f"taken as reflectance of level {level[1:]}{with_1000}")
    assert made.rescale.sentence.endswith(", by its metadata")


def test_what_a_product_said_is_in_the_record_of_its_map(model, toa, tmp_path):
    folder = write_safe(tmp_path, as_stored(toa, 1000))
    files = map_scene(model, folder, out=tmp_path / "map.tif", stride=64).files
    record = json.loads(files.record.read_text())["scene"]
    assert record["name"] == folder.name
    wanted = {"title": folder.stem, "level": "l1c", "added": True, "baseline": "04.00", "source": "metadata"}
    assert record["product"].items() >= wanted.items()


def test_a_product_that_lies_about_what_was_added_is_found_out_by_its_dark_pixels(model, toa, tmp_path):
    bands = as_stored(toa, 0)
    lying = map_scene(model, write_safe(tmp_path, bands, baseline="05.11", offset=-1000), stride=64)
    honest = map_scene(model, write_safe(tmp_path / "b", bands, baseline="02.14", offset=None), stride=64)
    np.testing.assert_array_equal(lying.array, honest.array)
    assert any("1000 was added to its numbers, and its dark pixels lie at" in warning for warning in lying.warnings)
    bright = map_scene(
        model, write_safe(tmp_path / "c", as_stored(toa, 1000), baseline="02.14", offset=None), stride=64
    )
    assert any("hardly any lie below 1000" in w and "--rescale 1000:3750" in w for w in bright.warnings)


def test_a_band_that_is_missing_is_named(model, toa, tmp_path):
    bands = as_stored(toa, 0)
    del bands["B03"]
    bands["B08"] = bands["B04"]
    with pytest.raises(DataError, match=r"has bands B02, B04, B08 but not green; give all of what was downloaded"):
        map_scene(model, write_safe(tmp_path, bands))


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_the_map_of_landsat_is_that_of_the_same_reflectance_as_sentinel_2_has_it(model, toa, tmp_path, level):
    scale, offset = (2e-05, -0.1) if level == "L1" else (2.75e-05, -0.2)
    reflectance = toa / 10_000
    stored = np.where(toa < 0, 0, np.rint((reflectance - offset) / scale)).astype(np.uint16)
    own = dict(zip((4, 3, 2), stored, strict=True))
    folder = write_landsat(tmp_path, own, level=level, scale=scale, offset=offset, elevation=90)
    made = map_scene(model, folder, stride=64)
    safe = {"L1": "L1C", "L2": "L2A"}[level]
    wanted = map_scene(model, write_safe(tmp_path, as_stored(toa, 0), level=safe, offset=None), stride=64)
    np.testing.assert_array_equal(made.array, wanted.array)
    np.testing.assert_allclose(made.confidence.astype(int), wanted.confidence, atol=1)
    ground = {"L1": "the top of the atmosphere", "L2": "the surface, usual air"}[level]
    assert made.rescale.sentence == f"taken as reflectance of {ground}, by its metadata"
    assert any("30 m wide and the model was trained at 10 m" in warning for warning in made.warnings)


def test_files_of_one_band_each_are_mapped_as_the_scene_in_one_file(model, toa, tmp_path):
    pixels = rescale_reflectance(toa, low=0, high=2750, nodata=-1000)
    names = ("red", "green", "blue")
    files = [write_scene(tmp_path / f"{name}.tif", pixels[at : at + 1]) for at, name in enumerate(names)]
    made = map_scene(model, files[::-1], stride=64, rescale="off")
    wanted = map_scene(model, write_scene(tmp_path / "whole.tif", pixels), stride=64, rescale="off")
    assert made.bands.how == "by name"
    np.testing.assert_array_equal(made.array, wanted.array)
    np.testing.assert_array_equal(made.confidence, wanted.confidence)
