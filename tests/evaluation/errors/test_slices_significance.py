from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact as scipy_fisher

from swath.evaluation.errors.slices import fisher_exact, holm

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
