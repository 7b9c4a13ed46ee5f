"""What is taken for a product."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.products import find_files
from swath.mapping.reader import open_scene
from tests.imagery.products import write_band, zipped
from tests.imagery.test_stores import archive
from tests.mapping.scenes import write_scene


@pytest.mark.parametrize("scene", ["scene.tif", "/vsizip/a.zip/b.tif", np.zeros((3, 8, 8)), "no-such-folder"])
def test_what_is_no_folder_and_no_archive_is_one_raster(scene):
    assert find_files(scene) is None


def test_a_folder_or_archive_without_a_product_says_what_is_taken(tmp_path):
    with pytest.raises(DataError, match=r"no product that swath knows.*; give a \.SAFE folder"):
        find_files(tmp_path)
    with pytest.raises(DataError, match="no product that swath knows"):
        find_files(archive(tmp_path / "p.zip", a=b""))


def write_bands(folder, *names, side=40):
    """Files of one band each, as GeoTIFF."""
    return [
        write_band(folder / name, np.full((side, side), 1 + at, np.uint16), driver="GTiff")
        for at, name in enumerate(names)
    ]


def first_pixels(scene):
    with open_scene(scene) as opened:
        values, _ = opened.read(range(1, len(opened.bands) + 1), Window(0, 0, 1, 1))
    return opened.bands, values.ravel().tolist()


def test_files_of_one_band_each_are_a_scene_in_a_list_in_a_folder_and_in_an_archive(tmp_path):
    folder = tmp_path / "bands"
    files = write_bands(folder, "x_B02.tif", "x_B03.tif", "x_B04.tif")
    assert first_pixels(files) == (("B02", "B03", "B04"), [1, 2, 3])
    assert first_pixels([str(file) for file in files[::-1]]) == (("B04", "B03", "B02"), [3, 2, 1])
    (folder / "x_TCI.tif").write_bytes(b"never opened")
    (folder / "readme.txt").write_bytes(b"never opened")
    for given in (folder, zipped(folder)):
        assert first_pixels(given) == (("B02", "B03", "B04"), [1, 2, 3])
    assert first_pixels(files[:1])[1] == [1]


def test_files_without_names_of_bands_are_taken_in_their_order(tmp_path):
    files = write_bands(tmp_path, "third.tif", "first.tif", "second.tif")
    assert first_pixels(files) == ((None, None, None), [1, 2, 3])
    with pytest.raises(DataError, match="its files are not named after bands"):
        find_files(tmp_path)


def test_the_product_is_known_by_the_names_of_files_and_of_the_folder_they_lie_in(tmp_path):
    folder = tmp_path / "S2A_MSIL2A_20220519T101601_N0400_R065_T32TQM_20220519T122601.SAFE" / "R10m"
    write_bands(folder, "T32TQM_20220519T101601_B04_10m.tif", "T32TQM_20220519T101601_B03_10m.tif")
    product = find_files(folder).product
    assert (product.level, product.added, product.source) == ("l2a", True, "name or tags")


def test_of_a_band_in_several_sizes_the_finest_is_taken(tmp_path):
    write_bands(tmp_path, "B04_20m.tif", "B04_10m.tif", "B05_20m.tif")
    found = find_files(tmp_path)
    assert {file.band: file.name for file in found.bands} == {"B04": "B04_10m.tif", "B05": "B05_20m.tif"}


def test_two_scenes_in_one_folder_or_list_are_refused(tmp_path):
    files = write_bands(tmp_path, "may_B04.tif", "june_B04.tif", "may_B03.tif")
    with pytest.raises(DataError, match=r"holds several files of band B04 \(june_B04.tif, may_B04.tif\)"):
        find_files(tmp_path)
    with pytest.raises(DataError, match="several of the files given are of band B04"):
        find_files(files)
    with pytest.raises(DataError, match="one file was given twice"):
        find_files([files[0], files[0]])


def test_several_files_of_several_bands_are_refused(tmp_path):
    paths = [write_scene(tmp_path / name, np.ones((3, 8, 8), np.uint8)) for name in ("a.tif", "b.tif")]
    with pytest.raises(DataError, match=r"a\.tif holds 3 bands; give files of one band each"):
        first_pixels(paths)
    with pytest.raises(DataError, match=r"there is no file .*none\.tif"):
        first_pixels([paths[0], tmp_path / "none.tif"])
