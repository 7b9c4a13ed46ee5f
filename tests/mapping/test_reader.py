from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from swath.errors import DataError, SettingError
from swath.inference.rescale import read_rescale
from swath.mapping.reader import Bands, Scene, check_values, choose_bands, open_scene
from tests.mapping.scenes import write_scene
from tests.tiny import input_spec


def pixels(height=20, width=30, *, bands=3, dtype="uint8", high=255, seed=0):
    return np.random.default_rng(seed).integers(1, high, (bands, height, width)).astype(dtype)


def check(values, needed, *, rescale="auto", **known):
    scene = Scene(
        "s.tif",
        *values.shape[1:],
        values.dtype.name,
        (None,) * len(values),
        None,
        None,
        None,
        1,
        lambda bands, window: (values, None),
        **known,
    )
    check_values(scene, input_spec(data_type=needed), rescale=read_rescale(rescale))


def flat(value, dtype):
    return np.full((3, 8, 8), value, dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "known", "fix"),
    [
        (900, "uint16", {}, "--rescale 0:2750"),
        (900, "int16", {}, "--rescale 0:2750"),
        (900, "float32", {}, "--rescale 0:2750"),
        (0.2, "float32", {}, "--rescale 0:0.275"),
        (20, "float64", {}, "--rescale 0:27.5"),
        (200, "uint16", {}, "--rescale 0:255"),
        (9000, "uint16", {"scaling": (2.75e-5, -0.2)}, "--rescale 7272.73:17272.7"),
        (1900, "uint16", {"scaling": (1e-4, -0.1)}, "--rescale 1000:3750"),
    ],
)
def test_other_values_are_refused_with_the_range_that_renders_them(value, dtype, known, fix):
    with pytest.raises(DataError, match=r"s\.tif holds .* values") as caught:
        check(flat(value, dtype), "uint8", **known)
    assert fix in caught.value.fix
    check(flat(value, dtype), "uint8", rescale=(0, 2750))


@pytest.mark.parametrize(
    ("dtype", "wanted", "rescale"),
    [
        ("uint16", "uint16", (0, 2750)),
        ("uint8", "uint8", (0, 2750)),
        ("uint16", "uint8", (5, 5)),
        ("uint16", "uint8", (0, float("nan"))),
    ],
)
def test_rendering_that_makes_no_sense_is_refused(dtype, wanted, rescale):
    with pytest.raises(SettingError, match="rescal"):
        check(flat(9, dtype), wanted, rescale=rescale)


def test_the_models_own_type_passes_and_a_narrower_one_does_not():
    check(flat(9, "uint8"), "uint8")
    check(flat(9, "uint8"), "uint8", rescale=(10, 200))
    with pytest.raises(DataError, match="model takes 16-bit"):
        check(flat(9, "uint8"), "uint16")


def opened(path):
    with open_scene(path):
        pass


def test_what_is_no_local_raster_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no scene"):
        opened(tmp_path / "none.tif")
    with pytest.raises(DataError, match="is no product that swath knows"):
        opened(tmp_path)
    (tmp_path / "note.tif").write_text("not a raster")
    with pytest.raises(DataError, match="is not a GeoTIFF"):
        opened(tmp_path / "note.tif")
    real = write_scene(tmp_path / "real.tif", pixels())
    rasterio.shutil.copy(real, tmp_path / "s.vrt", driver="VRT")
    (tmp_path / "s.vrt").rename(tmp_path / "vrt.tif")
    with pytest.raises(DataError, match="is not a GeoTIFF"):
        opened(tmp_path / "vrt.tif")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_png_that_is_cut_short_is_refused(tmp_path, part):
    path = tmp_path / "scene.png"
    with rasterio.open(path, "w", driver="PNG", width=64, height=64, count=3, dtype="uint8") as out:
        out.write(np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with open_scene(path) as scene, pytest.raises(DataError, match=r"scene\.png is a damaged or cut-short PNG file"):
        scene.read([1, 2, 3], Window(0, 0, 64, 64))


def test_complex_values_are_refused(tmp_path):
    with pytest.raises(DataError, match="complex64"):
        opened(write_scene(tmp_path / "s.tif", pixels(bands=1).astype("complex64")))


def test_blocks_too_large_for_bounded_memory_are_refused(tmp_path):
    side = 24_000
    size = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
    tile = {"tiled": True, "blockxsize": side, "blockysize": side, "sparse_ok": True}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **size, **tile):
        pass
    with pytest.raises(DataError, match="blocks of 24000 x 24000 pixels"):
        opened(tmp_path / "s.tif")


RGB = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("names", "indexes", "how"),
    [
        (("red", "green", "blue"), (1, 2, 3), "by name"),
        (("Blue", "Green", "Red"), (3, 2, 1), "by name"),
        (("vis-red", "vis-green", "vis-blue"), (1, 2, 3), "by name"),
        (("B02", "B03", "B04", "B08"), (3, 2, 1), "by name"),
        (("red", "green", "blue", "alpha"), (1, 2, 3), "by name"),
        ((None, None, None), (1, 2, 3), "by position"),
        (("alpha", None, None, None), (2, 3, 4), "by position"),
    ],
)
def test_bands_go_by_name_before_position(names, indexes, how):
    chosen = choose_bands(names, RGB, scene="s.tif")
    assert (chosen.indexes, chosen.how) == (indexes, how)


def test_a_guess_is_told():
    assert "--bands" in choose_bands((None,) * 4, RGB, scene="s.tif").warning
    assert "B4" in choose_bands(("B4", "B3", "B2", "B8"), RGB, scene="s.tif").warning
    assert choose_bands(RGB, RGB, scene="s.tif").warning is None
    assert choose_bands((None,) * 3, RGB, scene="s.tif").warning is None
    assert "called left, right, up" in choose_bands(("left", "right", "up"), RGB, scene="s.tif").warning


def test_numbers_of_bands_may_begin_with_a_zero():
    wanted = (*(f"b{n:02}" for n in range(1, 13)), "b8a")
    names = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
    assert choose_bands(names, wanted, scene="s.tif").indexes == (*range(1, 9), *range(10, 14), 9)


def test_the_users_choice_wins():
    chosen = choose_bands(("red", "green", "blue"), RGB, asked=(3, 2, 1), scene="s.tif")
    assert (chosen.indexes, chosen.how) == ((3, 2, 1), "asked for")


@pytest.mark.parametrize(("asked", "message"), [((1, 2), "2 bands were asked for"), ((1, 2, 9), "no band 9")])
def test_a_choice_that_does_not_fit_is_refused(asked, message):
    with pytest.raises(SettingError, match=message):
        choose_bands((None,) * 3, RGB, asked=asked, scene="s.tif")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((None,), r"s\.tif has 1 bands and the model needs 3"),
        ((None, None, "alpha"), "has 2 bands"),
        (("blue", "green", "nir"), "but not red"),
        (("B12", "B8", "B4"), "has bands B12, B8, B4 but not green, blue"),  # red is known, and not first
        (("nir", "red", "green", "swir"), "but not blue"),
    ],
)
def test_missing_bands_are_refused(names, message):
    with pytest.raises(DataError, match=message):
        choose_bands(names, RGB, scene="s.tif")


def test_numbers_of_bands_mean_those_of_files_with_as_many():
    wanted = ("band_4", "band_3", "band_2")
    assert choose_bands((None,) * 13, wanted, of=13, scene="s.tif") == Bands((4, 3, 2), "by number")
    assert choose_bands((*(None,) * 13, "alpha"), wanted, of=13, scene="s.tif").indexes == (4, 3, 2)
    for count in (3, 4, 12):
        with pytest.raises(DataError, match=f"has {count} bands without names, .* of 13") as caught:
            choose_bands((None,) * count, wanted, of=13, scene="s.tif")
        assert "--bands 1,2,3" in caught.value.fix
    assert choose_bands((None,) * 3, wanted, asked=(3, 2, 1), of=13, scene="s.tif").indexes == (3, 2, 1)


@pytest.mark.parametrize(
    "transform", [(float("nan"), 0, 0, 0, -1, 0), (10, 0, float("inf"), 0, -10, 0), (0, 0, 5, 0, -10, 5)]
)
def test_a_transform_that_gives_pixels_no_size_is_refused(transform, tmp_path):
    path = write_scene(tmp_path / "s.tif", pixels())
    with pytest.raises(DataError, match=r"s\.tif places its pixels by a transform that gives them no size"):
        open_scene(path, transform=transform).__enter__()
