"""Cohen's kappa: scikit-learn's value, and an interval that holds the truth and has a width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.evaluation.metrics import cohen_kappa

from .cases import answers

few = settings(max_examples=40)


@few
@given(st.integers(2, 60), st.integers(2, 6), st.floats(0, 1), st.integers(0, 10_000))
def test_the_value_is_scikit_learn_s(n, classes, right, seed):
    sk = pytest.importorskip("sklearn.metrics")
    truth, predicted = answers(n, right=right, classes=classes, seed=seed)
    found = cohen_kappa(truth, predicted, classes=classes)
    if len({*truth.tolist(), *predicted.tolist()}) < 2:
        assert (found.value, found.low, found.high, found.n) == (0.0, -1.0, 1.0, 0)
        return
    assert found.value == pytest.approx(sk.cohen_kappa_score(truth, predicted))
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.n == n
    other = cohen_kappa(predicted, truth, classes=classes)
    assert (found.value, found.low, found.high) == pytest.approx((other.value, other.low, other.high))


def test_perfect_agreement_of_few_is_not_certain():
    labels = np.arange(20) % 4
    few_patches, many = (cohen_kappa(np.tile(labels, k), np.tile(labels, k), classes=4) for k in (1, 50))
    assert few_patches.value == many.value == 1.0
    assert few_patches.low < 0.85 < many.low < 1.0


def test_the_slopes_are_derivatives():
    """The delta method's standard error is that of patches weighted one by one."""
    random = np.random.default_rng(0)
    truth, second = random.integers(0, 3, 300), random.integers(0, 3, 300)
    second = np.where(random.random(300) < 0.5, truth, second)
    found = cohen_kappa(truth, second, classes=3)

    def kappa(rows):
        one, two = truth[rows], second[rows]
        p, q = (np.bincount(labels, minlength=3) / len(rows) for labels in (one, two))
        return ((one == two).mean() - p @ q) / (1 - p @ q)

    draws = [kappa(random.integers(0, 300, 300)) for _ in range(2000)]
    assert found.high - found.low == pytest.approx(2 * 1.97 * np.std(draws), rel=0.06)
