from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.data import build_index, cached_pixels, read_index, resample_index, split_index
from swath.data.index import PatchIndex
from swath.data.rewrite import encode_patch
from swath.errors import DataError, OutputError, SettingError
from swath.imagery import RGB, decode, resample_to_gsd
from tests.data.makers import encoded, picture, tree, write


@pytest.fixture
def index(tmp_path: Path) -> PatchIndex:
    return split_index(build_index(tree(tmp_path / "fine", each=5, size=64)))


def with_gsd(index: PatchIndex, gsd: float) -> PatchIndex:
    return index.with_columns({"gsd": [gsd] * len(index)})


def test_patches_are_degraded_and_what_is_known_of_them_stays(index: PatchIndex, tmp_path: Path) -> None:
    out, seen = tmp_path / "coarse", []
    made = resample_index(
        with_gsd(index, 0.3), out, gsd=1.2, progress=lambda stage, done, total, **_: seen.append((done, total))
    )
    assert made.fingerprint == read_index(out / "index.parquet").fingerprint
    assert seen[-1] == (15, 15)
    for name in ("label", "labels", "split", "group", "lon", "lat", "source", "license"):
        assert made.table[name].to_pylist() == index.table[name].to_pylist()
    assert made.paths[0] == "Field/Field_0.png"
    assert made.gsd == 1.2
    assert set(made.table["width"].to_pylist()) == {16}
    assert made.split_protocol == index.split_protocol
    fine = decode(index.root / index.paths[3]).pixels
    coarse = decode(out / made.paths[3]).pixels
    assert np.array_equal(coarse, resample_to_gsd(fine, gsd_from=0.3, gsd_to=1.2))
    assert cached_pixels(made, cache=tmp_path / "cache").shape == (15, 3, 16, 16)


def test_a_factor_will_do_where_meters_are_not_known(index: PatchIndex, tmp_path: Path) -> None:
    made = resample_index(index, tmp_path / "a", factor=4)
    assert made.gsd is None
    said = resample_index(index, tmp_path / "b", gsd=2, gsd_from=0.5)
    assert said.gsd == 2
    assert said.table["sha256"] == made.table["sha256"]
    plain = resample_index(index, tmp_path / "c", factor=4, sensor_blur=False)
    assert plain.table["sha256"] != made.table["sha256"]


def test_the_copy_moves_as_one_folder(index: PatchIndex, tmp_path: Path) -> None:
    resample_index(index, tmp_path / "coarse", factor=2)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "coarse").rename(tmp_path / "elsewhere" / "moved")
    moved = read_index(tmp_path / "elsewhere" / "moved" / "index.parquet")
    assert decode(moved.root / moved.paths[0]).width == 32


def test_names_that_would_collide_keep_their_suffix(tmp_path: Path) -> None:
    for number, suffix in enumerate(("png", "jpg", "webp")):
        for label in ("A", "B"):
            kind = {"jpg": "JPEG"}.get(suffix, suffix.upper())
            data = encoded(picture(number + 10 * (label == "B"), size=64), kind)
            write(tmp_path / "fine" / label / f"same.{suffix}", data)
    made = resample_index(build_index(tmp_path / "fine"), tmp_path / "coarse", factor=2)
    assert sorted(p for p in made.paths if p.startswith("A")) == ["A/same.png", "A/same.png.png", "A/same.webp.png"]
    assert read_index(tmp_path / "coarse" / "index.parquet").root == made.root


def test_many_bands_and_sixteen_bits_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "fine" / "AB"[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", driver="GTiff", count=4, width=64, height=64, dtype="uint16") as target:
            target.write(rng.integers(0, 10_000, (4, 64, 64), np.uint16))
            target.descriptions = ("red", "green", "blue", "nir")
    made = resample_index(build_index(tmp_path / "fine"), tmp_path / "coarse", factor=4)
    seen = decode(made.root / made.paths[0])
    assert seen.bands == ("red", "green", "blue", "nir")
    assert seen.pixels.dtype == np.uint16
    assert seen.pixels.shape == (4, 16, 16)
    assert made.table["mode"][0].as_py() == "uint16 x 4"


def test_sixteen_bit_gray_is_png(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(6):
        values = np.random.default_rng(number).integers(0, 65_536, (32, 32), np.uint16)
        write(tmp_path / "fine" / "AB"[number % 2] / f"{number}.png", encoded(Image.fromarray(values)))
    made = resample_index(build_index(tmp_path / "fine"), tmp_path / "coarse", factor=2)
    seen = decode(made.root / made.paths[0])
    assert (seen.mode, seen.pixels.dtype, made.paths[0][-4:]) == ("I;16", np.uint16, ".png")


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ({}, SettingError, "--gsd METERS or --factor"),
        ({"gsd": 2, "factor": 4}, SettingError, "--gsd METERS or --factor"),
        ({"gsd": 2}, SettingError, "--from-gsd METERS"),
        ({"factor": 1}, SettingError, "not coarser"),
        ({"gsd": 0.2, "gsd_from": 0.3}, SettingError, "not coarser"),
        ({"factor": 20}, DataError, "too few"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(index, tmp_path, wanted, kind, message):
    with pytest.raises(kind, match=message):
        resample_index(index, tmp_path / "out", **wanted)
    assert not (tmp_path / "out").exists()


def test_meters_said_twice_and_differently_are_refused(index: PatchIndex, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"10 m per pixel, not 0\.3"):
        resample_index(with_gsd(index, 10), tmp_path / "out", gsd=20, gsd_from=0.3)


def test_a_patch_that_changed_stops_it_and_leaves_nothing(index: PatchIndex, tmp_path: Path) -> None:
    write(index.root / index.paths[7], encoded(picture(999, size=64)))
    with pytest.raises(DataError, match=index.paths[7]):
        resample_index(index, tmp_path / "out", factor=2)
    assert {p.name for p in tmp_path.iterdir()} == {"fine"}


def test_outputs_are_not_replaced_unasked_and_the_patches_never(index: PatchIndex, tmp_path: Path) -> None:
    resample_index(index, tmp_path / "out", factor=2)
    with pytest.raises(OutputError, match="not empty"):
        resample_index(index, tmp_path / "out", factor=4)
    again = resample_index(index, tmp_path / "out", factor=4, overwrite=True)
    assert again.table["width"][0].as_py() == 16
    with pytest.raises(OutputError, match="holds"):
        resample_index(index, index.root, factor=2, overwrite=True)


BANDS = {1: ("gray",), 2: ("gray", "alpha"), 3: RGB, 4: (*RGB, "alpha"), 5: ("b2", "b3", "b4", "b8", "b8a")}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", BANDS)
def test_pixels_and_bands_come_back(dtype, count):
    pixels = np.random.default_rng(count).integers(0, np.iinfo(dtype).max, (count, 9, 7), dtype)
    patch = encode_patch(pixels, BANDS[count])
    picture = decode(patch.data)
    assert picture.bands == BANDS[count]
    assert picture.pixels.dtype == dtype
    assert np.array_equal(picture.pixels, pixels)
    assert (patch.width, patch.height, patch.mode) == (7, 9, picture.mode)
    assert patch.suffix == (".png" if (dtype == np.uint8 and count < 5) or count == 1 else ".tif")
    assert encode_patch(pixels, BANDS[count]) == patch
