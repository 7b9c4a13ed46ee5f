from __future__ import annotations

import numpy as np
import pytest

from swath.errors import SettingError
from swath.experiments.views import SENSORS, can_show, view_named, view_names
from swath.imagery import RGB
from tests.tiny import patches


def test_views_by_hand():
    pixels = np.array([[[[10, 20], [30, 40]], [[1, 2], [3, 4]], [[50, 50], [50, 50]]]], np.uint8)
    assert (view_named("unchanged")(pixels) == pixels).all()
    assert (view_named("bands reversed")(pixels)[0, 0] == 50).all()
    assert (view_named("bands reversed")(pixels)[0, 2] == pixels[0, 0]).all()
    assert view_named("stretched to the brightest pixel")(pixels)[0, 0].tolist() == [[51, 102], [153, 204]]
    assert view_named("divided by two")(pixels)[0, 1].tolist() == [[0, 1], [1, 2]]
    assert (view_named("resized by nearest neighbor")(pixels)[0, 0] == 10).all()
    # Mean 25 and sd sqrt(125): (10 - 25) / 11.18 x 255 / 6 + 127.5 = 70.5; a flat band is mid-gray.
    assert view_named("each patch standardized")(pixels)[0, 0, 0, 0] in (70, 71)
    assert (view_named("each patch standardized")(pixels)[0, 2] == 128).all()


@pytest.mark.parametrize("name", [*view_names(), *SENSORS])
@pytest.mark.parametrize("side", [64, 65])
def test_every_view_keeps_shape_and_type_and_only_the_first_changes_nothing(name, side):
    pixels = patches("Residential", 3, size=side)
    shown = view_named(name)(pixels)
    assert (shown.shape, shown.dtype) == (pixels.shape, pixels.dtype)
    assert (shown == pixels).all() == (name == view_names()[0])


def test_sixteen_bits_stay_sixteen():
    pixels = patches("Forest", 2).astype(np.uint16) * 100
    for name in view_names():
        assert view_named(name)(pixels).dtype == np.uint16
    assert view_named("stretched to the brightest pixel")(pixels).max() == 65535


def test_shifts_that_do_not_suit_the_patches_are_known():
    assert all(can_show(name, bands=RGB, side=64) for name in (*view_names(), *SENSORS))
    assert not can_show("jpeg, level 3", bands=("B02", "B03"), side=64)
    assert not can_show("resample, level 3", bands=RGB, side=16)
    assert can_show("bands reversed", bands=("B02", "B03"), side=16)


def test_an_unknown_view_is_one_message():
    with pytest.raises(SettingError, match="no view 'upside down'; use one of unchanged"):
        view_named("upside down")
