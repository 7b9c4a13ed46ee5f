from __future__ import annotations

import numpy as np
import pytest

from swath.data.rewrite import encode_patch
from swath.imagery import RGB, decode

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
