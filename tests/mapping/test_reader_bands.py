from __future__ import annotations

import pytest

from swath.errors import DataError, SettingError
from swath.mapping.reader import choose_bands

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
