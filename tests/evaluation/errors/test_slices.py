from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact as scipy_fisher

from swath.evaluation.errors.slices import LEAST, Slicing, fisher_exact, holm, measure_slices, slicings
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


@pytest.mark.parametrize(
    ("by", "name", "where"),
    [
        ("brightness", "third quarter (70.2 to 91.0)", "in the third quarter of brightness (70.2 to 91.0)"),
        ("brightness", "below 70.2", "where brightness is below 70.2"),
        ("group", "east", "where group is east"),
    ],
)
def test_a_slice_in_words(by, name, where):
    right = np.arange(40) % 2 == 0
    names = [name] * 20 + ["other"] * 20
    found = measure_slices(right, np.zeros(40, np.int64), [Slicing(by, names)])
    assert where in {one.where for one in found}


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


counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_fisher_is_scipys(first, second):
    (a, n), (b, m) = first, second
    wanted = scipy_fisher([[a, n - a], [b, m - b]]).pvalue
    assert fisher_exact(a, n, b, m) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("table", [(4700, 4800, 590, 600), (4500, 4800, 480, 600), (0, 5000, 3, 900)])
def test_fisher_is_scipys_on_large_tables(table):
    a, n, b, m = table
    assert fisher_exact(*table) == pytest.approx(scipy_fisher([[a, n - a], [b, m - b]]).pvalue, rel=1e-6)


def test_the_lady_tasting_tea():
    """Fisher 1935, The design of experiments, chapter 2: three of four cups right, two-sided 34/70."""
    assert fisher_exact(3, 4, 1, 4) == pytest.approx(34 / 70)


def test_an_empty_side_tells_nothing():
    assert fisher_exact(0, 0, 3, 7) == 1.0


def test_holm_worked_example():
    """Four hypotheses, p 0.01, 0.04, 0.03, 0.005: the fourth and the first are rejected at 5 %, no other."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p):
    """Its definition: the largest Bonferroni p-value of all intersections a hypothesis takes part in."""
    places = range(len(p))
    groups = [g for size in range(1, len(p) + 1) for g in combinations(places, size)]
    wanted = [max(min(1.0, len(g) * min(p[j] for j in g)) for g in groups if i in g) for i in places]
    np.testing.assert_allclose(holm(p), wanted)


def test_no_tests_no_correction():
    assert holm([]).shape == (0,)
