from __future__ import annotations

import numpy as np
import pytest

from swath.imagery import RGB, Picture


def test_size():
    picture = Picture(np.zeros((3, 4, 5), np.uint16), RGB, "digital number", "uint16 x 3")
    assert (picture.height, picture.width) == (4, 5)


@pytest.mark.parametrize(("shape", "bands"), [((3, 4, 5), ("gray",)), ((4, 5), ("gray",)), ((1, 4, 5), RGB)])
def test_bands_must_fit_the_pixels(shape, bands):
    with pytest.raises(ValueError, match="do not fit"):
        Picture(np.zeros(shape), bands, "display", "L")
