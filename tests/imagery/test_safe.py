"""Products of Sentinel-2: what is found in them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from swath.errors import DataError
from swath.imagery.products import find_files
from swath.imagery.stack import open_stack
from tests.imagery.products import COLOR_BANDS, TILE, TIME, safe_metadata, write_safe, zipped

BASELINES = [("02.14", None), ("04.00", -1000), ("05.11", -1000)]


def some_bands(*names, side=96):
    rng = np.random.default_rng(0)
    return {name: rng.integers(1001, 4000, (side, side)).astype(np.uint16) for name in names}


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize(("baseline", "offset"), BASELINES)
@pytest.mark.parametrize("form", ["folder", "zip", "metadata"])
def test_a_product_is_what_its_metadata_say(tmp_path, level, baseline, offset, form):
    bands = some_bands("B02", "B03", "B04", "B08")
    folder = write_safe(tmp_path, bands, level=level, baseline=baseline, offset=offset)
    given = {"folder": folder, "zip": folder, "metadata": folder / f"MTD_MSI{level}.xml"}[form]
    found = find_files(zipped(folder) if form == "zip" else given)
    assert [file.band for file in found.bands] == ["B02", "B03", "B04", "B08"]
    product = found.product
    assert (product.level, product.added, product.baseline) == (level.lower(), offset is not None, baseline)
    assert (product.source, product.sensor, product.acquired) == ("metadata", "Sentinel-2A", "2022-05-19T10:16:01.024Z")
    assert product.title == folder.stem


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_gdals_own_driver_reads_the_same(tmp_path, level):
    bands = some_bands("B02", "B03", "B04", "B08")
    folder = write_safe(tmp_path, bands, level=level)
    with rasterio.open(folder / f"MTD_MSI{level}.xml") as product:
        assert product.driver == "SENTINEL2"
        fine = next(name for name in product.subdatasets if ":10m:" in name)
    with rasterio.open(fine) as theirs, open_stack(find_files(folder)) as ours:
        at = [next(i for i, d in enumerate(theirs.descriptions, 1) if d.startswith(b)) for b in ("B4,", "B3,", "B2,")]
        values, _ = ours.read_with_mask([3, 2, 1], rasterio.windows.Window(0, 0, 96, 96))
        np.testing.assert_array_equal(values, theirs.read(at))
        assert (ours.crs, ours.transform) == (theirs.crs, theirs.transform)


def test_of_level_2a_the_finest_file_of_a_band_is_taken(tmp_path):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS), level="L2A")
    images = next(folder.glob("GRANULE/*/IMG_DATA"))
    for meters in (20, 60):
        (images / f"R{meters}m").mkdir()
        (images / f"R{meters}m" / f"{TILE}_{TIME}_B04_{meters}m.jp2").write_bytes(b"never opened")
    assert all("R10m" in file.name and file.pixel == 10 for file in find_files(folder).bands)


def test_another_offset_than_1000_is_a_scaling(tmp_path):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS), offset=-500)
    found = find_files(folder)
    assert found.product.added is None
    assert all(file.scaling == (1e-4, -0.05) for file in found.bands)


def refused(folder, match):
    with pytest.raises(DataError, match=match), open_stack(find_files(folder)):
        pass


def test_tiles_and_products_that_are_mixed_are_refused(tmp_path):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS))
    images = next(folder.glob("GRANULE/*/IMG_DATA"))
    other = images / f"T33TUG_{TIME}_B08.jp2"
    other.write_bytes(b"never opened")
    refused(folder, r"holds several tiles \(T32TQM, T33TUG\); map the tiles one by one")
    other.unlink()
    (folder / "MTD_MSIL2A.xml").write_text("<a/>")
    refused(folder, "holds 2 products")


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ("", r"MTD_MSIL1C\.xml of .* is damaged XML"),
        ("<a>", r"MTD_MSIL1C\.xml of .* is damaged XML"),
        ("<a/>", "is named as level 1C and says it is of no level"),
        (safe_metadata("L2A", "04.00", title="x", offset=None), "is named as level 1C and says it is LEVEL2A"),
        (safe_metadata("L1C", "04.00", title="x", offset=-1000, scale=0), "numbers that are no reflectance"),
        (safe_metadata("L1C", "04.00", title="x", offset=0).replace(">0<", ">nan<"), "numbers that are no reflectance"),
        (
            safe_metadata("L1C", "04.00", title="x", offset=0).replace(">0<", ">much<"),
            "how its numbers are reflectance",
        ),
        (safe_metadata("L1C", "04.00", title="x", offset=0).replace('"12"', '"99"'), "there is no band_id 99"),
    ],
)
def test_metadata_that_say_nothing_are_refused(tmp_path, metadata, match):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS))
    (folder / "MTD_MSIL1C.xml").write_text(metadata, encoding="utf-8")
    refused(folder, match)


def test_a_band_of_another_resolution_than_its_name_says_is_refused(tmp_path):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS, side=48), coarse=COLOR_BANDS)
    refused(folder, r"B02\.jp2 of .* has pixels of 20 m, and by its name they are 10 m")


def test_metadata_without_bands_are_refused(tmp_path):
    folder = write_safe(tmp_path, some_bands(*COLOR_BANDS))
    for file in folder.rglob("*.jp2"):
        file.unlink()
    refused(folder, "holds no bands below GRANULE")
