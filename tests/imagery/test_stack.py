"""Several files as one raster."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.products import find_files
from swath.imagery.stack import open_stack
from tests.imagery.products import COLOR_BANDS, write_band, write_safe, zipped

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def bands():
    made = {name: RNG.integers(0, 4000, (120, 160)).astype(np.uint16) for name in COLOR_BANDS}
    return {**made, "B05": RNG.integers(0, 4000, (60, 80)).astype(np.uint16)}


@pytest.fixture(scope="module", params=["folder", "zip"])
def product(request, tmp_path_factory, bands):
    folder = write_safe(tmp_path_factory.mktemp("safe"), bands, coarse=("B05",))
    return folder if request.param == "folder" else zipped(folder)


@pytest.mark.parametrize("window", [(0, 0, 160, 120), (3, 5, 61, 70), (159, 119, 1, 1), (1, 0, 2, 120)])
def test_any_window_is_the_part_of_the_whole(product, bands, window):
    whole = np.stack([bands["B04"], np.repeat(np.repeat(bands["B05"], 2, 0), 2, 1)])
    with open_stack(find_files(product)) as stack:
        assert stack.names == ("B02", "B03", "B04", "B05")
        assert (stack.height, stack.width, stack.dtype, stack.repeated) == (120, 160, "uint16", ("B05",))
        values, present = stack.read_with_mask([3, 4], Window(*window))
    part = np.s_[:, window[1] : window[1] + window[3], window[0] : window[0] + window[2]]
    np.testing.assert_array_equal(values, whole[part])
    np.testing.assert_array_equal(present, whole[part] > 0)


def test_a_band_that_is_cut_short_is_refused_before_gdal_makes_zeros_of_it(tmp_path, bands):
    folder = write_safe(tmp_path, bands, coarse=("B05",))
    file = next(folder.rglob("*_B04.jp2"))
    file.write_bytes(file.read_bytes()[:4000])
    with (
        open_stack(find_files(folder)) as stack,
        pytest.raises(DataError, match=r"B04\.jp2 of .* cut-short JPEG 2000 file .it holds \d of its \d tiles"),
    ):
        stack.read_with_mask([3], Window(0, 0, 160, 120))


def test_bands_of_other_ground_are_refused(tmp_path, bands):
    folder = write_safe(tmp_path, bands, coarse=("B05",))
    write_band(next(folder.rglob("*_B04.jp2")), bands["B04"][:100])
    with (
        pytest.raises(DataError, match=r"B04\.jp2 of .* is not of the same ground .*160 x 100 pixels of 10"),
        open_stack(find_files(folder)),
    ):
        pass


def test_a_file_that_is_no_band_is_refused(tmp_path, bands):
    folder = write_safe(tmp_path, bands, coarse=("B05",))
    file = next(folder.rglob("*_B04.jp2"))
    file.write_bytes(b"<VRTDataset/>")
    with pytest.raises(DataError, match="is not a JPEG, PNG"), open_stack(find_files(folder)):
        pass
