from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.evaluation.errors.slices import LEAST, Slicing, measure_slices, slicings
from swath.evaluation.intervals import wilson
from tests.data.makers import table_index


def of(slicing: list[Slicing], by: str) -> Slicing:
    return next(s for s in slicing if s.by == by)


def shaded(n: int = 40) -> np.ndarray:
    """Patches that grow brighter, every other of them green."""
    pixels = np.zeros((n, 3, 8, 8), np.uint8)
    pixels[:] = (np.arange(n) * 4)[:, None, None, None] + 20
    pixels[::2, 1] += 40
    return pixels


def test_patches_are_cut_at_their_quartiles():
    index = table_index(["a", "b"] * 20)
    found, _ = slicings(index, shaded(), bands=("red", "green", "blue"))
    brightness = of(found, "brightness")
    assert list(Counter(brightness.names).values()) == [10] * 4
    assert brightness.names[0].startswith("lowest quarter (below ")
    assert brightness.names[-1].startswith("highest quarter (from ")
    np.testing.assert_allclose(brightness.values[1], 24)
    green = of(found, "greenness")
    assert green.values[0] == pytest.approx((60 - 20) / 80)
    assert green.values[1] == 0


def test_what_is_alike_is_no_slicing():
    pixels = np.full((12, 3, 8, 8), 90, np.uint8)
    found, alike = slicings(table_index(["a"] * 12), pixels, bands=("red", "green", "blue"))
    assert found == []
    assert alike == ["brightness", "contrast", "greenness", "size", "mode", "group", "source"]


def test_without_red_and_green_there_is_no_greenness():
    found, alike = slicings(table_index(["a", "b"] * 20), shaded()[:, :2], bands=("nir", "swir"))
    assert "greenness" not in [*alike, *(s.by for s in found)]


def test_groups_and_sources_are_slices():
    index = table_index(["a", "b"] * 20, groups=["east"] * 15 + [None] * 25)
    found, _ = slicings(index, shaded(), bands=("red", "green", "blue"))
    assert Counter(of(found, "group").names) == {"east": 15, "none": 25}


def test_a_bad_slice_is_found_among_good_ones():
    n = 400
    rng = np.random.default_rng(0)
    right = rng.random(n) < 0.97
    names = ["dark"] * 100 + ["light"] * 300
    right[:100] = rng.random(100) < 0.7
    labels = rng.integers(0, 2, n)
    others = [Slicing(f"chance {i}", [f"{v}" for v in rng.integers(0, 4, n)]) for i in range(5)]
    found = measure_slices(right, labels, [*others, Slicing("brightness", names)])
    dark = next(s for s in found if s.name == "dark")
    assert dark.clear
    assert dark.difference.high < -0.1
    assert dark.accuracy.value == right[:100].mean()
    assert (dark.accuracy.low, dark.accuracy.high) == wilson(int(right[:100].sum()), 100)
    assert {s.by for s in found if s.clear} == {"brightness"}
    assert dark.corrected == pytest.approx(min(1.0, dark.p * len(found)))  # the smallest of them all


def test_a_slice_of_hard_classes_is_expected_to_be_hard():
    """Class 1 is always wrong; a slice that holds only class 1 is no worse than its classes."""
    labels = np.array([0] * 60 + [1] * 40)
    found = measure_slices(labels == 0, labels, [Slicing("place", ["a"] * 60 + ["b"] * 40)])
    hard = next(s for s in found if s.name == "b")
    assert hard.clear
    assert hard.expected == hard.accuracy.value == 0


def test_small_slices_are_passed_over():
    names = ["small"] * (LEAST - 1) + ["large"] * 50 + ["other"] * 50
    n = len(names)
    found = measure_slices(np.ones(n, bool), np.zeros(n, np.int64), [Slicing("x", names)])
    assert {s.name for s in found} == {"large", "other"}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**31))
def test_every_patch_gets_one_slice_and_equal_patches_the_same(levels, seed):
    pixels = np.repeat(np.array(levels, np.uint8) * 40, 48).reshape(-1, 3, 4, 4)
    found, alike = slicings(table_index(["a"] * len(levels)), pixels, bands=("red", "green", "blue"))
    if len(set(levels)) == 1:
        assert "brightness" in alike
    for slicing in found:
        assert len(slicing.names) == len(levels)
        slice_of = {}
        for level, name in zip(levels, slicing.names, strict=True):
            assert slice_of.setdefault(level, name) == name
