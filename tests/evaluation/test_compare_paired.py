from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from swath.errors import DataError
from swath.evaluation.compare import mcnemar, mcnemar_counts

counts = st.integers(0, 400)


@given(counts, counts)
def test_p_values_are_scipys(only_first, only_second):
    found = mcnemar_counts(only_first, only_second)
    n, fewer = only_first + only_second, min(only_first, only_second)
    exact = binomtest(fewer, n, 0.5).pvalue if n else 1.0
    assert found.p_value == pytest.approx(exact, rel=1e-9)
    assert found.mid_p == pytest.approx(min(1.0, 2 * binom.cdf(fewer, n, 0.5) - binom.pmf(fewer, n, 0.5)), rel=1e-9)
    assert found.mid_p <= found.p_value


def test_the_worked_example_of_fagerland_2013():
    found = mcnemar_counts(1, 7)  # airway hyper-responsiveness before and after: exact 0.070, mid-p 0.039
    assert (round(found.p_value, 3), round(found.mid_p, 3)) == (0.070, 0.039)


def test_only_disagreement_counts():
    truth = np.array(["a"] * 6 + ["b"] * 4)
    first, second = truth.copy(), truth.copy()
    first[0] = "b"  # both wrong
    second[[0, 1, 2]] = "b"
    found = mcnemar(truth, first, second)
    assert (found.only_first, found.only_second) == (2, 0)
    assert found.p_value == 0.5


def test_many_patches_do_not_overflow():
    assert mcnemar_counts(60_000, 61_000).p_value == pytest.approx(binomtest(60_000, 121_000).pvalue, rel=1e-6)


def test_answers_to_other_patches():
    with pytest.raises(DataError, match="cannot be paired"):
        mcnemar(np.zeros(3), np.zeros(3), np.zeros(2))
