from __future__ import annotations

import colorsys
from itertools import combinations

import pytest

from swath.model.colors import class_colors, distance

EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


@pytest.mark.parametrize(
    ("names", "binary"),
    [
        (EUROSAT, False),
        (["cloudy", "desert", "green_area", "water"], False),
        ([f"class {k}" for k in range(10)], False),
        (["Forest", "bare", "River", "ice", "Residential", "mangrove"], False),
        (["not dump", "dump"], True),
        (["a", "b"], False),
        ((*EUROSAT, "Scrub", "Mine", "Wetland"), False),
    ],
)
def test_every_pair_is_apart_with_normal_protan_and_deutan_vision(names, binary):
    colors = class_colors(names, binary=binary)
    assert len(set(colors)) == len(names)
    for first, second in combinations(colors, 2):
        assert distance(first, second) >= 1, (first, second)


def test_distances_are_those_of_published_pairs():
    # Red and green that are far apart for most readers and close without one kind of cone.
    assert distance("D7392E", "1B6B3A") < 1
    assert distance("000000", "FFFFFF") == pytest.approx(100 / 15, rel=0.01)
    assert distance("4DB2DE", "4DB2DE") == 0


def test_many_classes_still_differ():
    colors = class_colors([f"class {k}" for k in range(40)])
    assert len(set(colors)) == 40


@pytest.mark.parametrize("others", [EUROSAT, ("SeaLake",), ()])
def test_blue_is_left_to_water(others):
    def hue(name):
        color = class_colors((*others, name))[-1]
        return 360 * colorsys.rgb_to_hsv(*(value / 255 for value in bytes.fromhex(color)))[0]

    for land in ("Scrub", "Research station", "Mine"):
        assert not 170 < hue(land) < 255
    if others == EUROSAT:
        assert 170 < hue("coastal_water") < 255, "what is water may be blue"


def test_a_name_keeps_its_color_whatever_stands_before_it():
    assert class_colors(["x", "Forest"])[1] == class_colors(["Forest", "x"])[0]
