from __future__ import annotations

import numpy as np
import pytest

from swath.data.fix import encode_lossless
from swath.imagery import RGB, decode

BANDS = {1: ("gray",), 2: ("gray", "alpha"), 3: RGB, 4: (*RGB, "alpha"), 5: ("b2", "b3", "b4", "b8", "b8a")}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", BANDS)
def test_pixels_and_bands_come_back(dtype, count):
    pixels = np.random.default_rng(count).integers(0, np.iinfo(dtype).max, (count, 9, 7), dtype)
    data, suffix = encode_lossless(pixels, BANDS[count])
    picture = decode(data)
    assert picture.bands == BANDS[count]
    assert picture.pixels.dtype == dtype
    assert np.array_equal(picture.pixels, pixels)
    assert suffix == (".png" if (dtype == np.uint8 and count < 5) or count == 1 else ".tif")
    assert encode_lossless(pixels, BANDS[count]) == (data, suffix)
