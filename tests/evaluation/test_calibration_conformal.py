from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.evaluation.calibration import (
    check_sets,
    conformal_quantile,
    conformal_quantiles,
    measure_reliability,
    prediction_sets,
)
from tests.evaluation.test_calibration import drawn


@given(st.integers(1, 300), st.sampled_from([80, 90, 95]), st.integers(0, 99))
def test_the_quantile_is_the_smallest_score_with_enough_others_below(n, percent, seed):
    scores = np.random.default_rng(seed).random(n)
    quantile = conformal_quantile(scores, coverage=percent / 100)
    needed = (n + 1) * percent  # of 100
    if 100 * n < needed:
        assert quantile == 1.0
    else:
        assert 100 * (scores <= quantile).sum() >= needed > 100 * (scores < quantile).sum()


def test_nine_scores_are_the_fewest_for_90_percent():
    assert conformal_quantile(np.linspace(0.1, 0.9, 9), coverage=0.9) == 0.9
    assert conformal_quantile(np.linspace(0.1, 0.8, 8), coverage=0.9) == 1.0


def test_sets_cover_as_often_as_asked_even_for_a_poor_model():
    covered = []
    for seed in range(60):
        truth, p = drawn(400, 4, seed=seed, sharpness=1.0)
        wrong = p**4 / (p**4).sum(axis=1, keepdims=True)  # overconfident
        quantiles = conformal_quantiles(wrong[:200], truth[:200])
        found = check_sets(wrong[200:], truth[200:], quantiles)
        covered.append([found[level].coverage.value for level in ("0.90", "0.95")])
    assert np.mean(covered, axis=0) == pytest.approx([0.905, 0.955], abs=0.012)


def test_sets_and_their_sizes_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]])
    sets = prediction_sets(p, 0.65)
    assert sets.tolist() == [[True, False, False], [True, True, False], [False, False, False]]
    found = check_sets(p, np.array([0, 1, 2]), {"0.90": 0.65})["0.90"]
    assert (found.coverage.value, found.size.value) == pytest.approx((2 / 3, 1.0))
    assert (found.empty, found.single) == pytest.approx((1 / 3, 1 / 3))
    assert found.size.low <= 1.0 <= found.size.high


def test_broken_promises_are_found_and_empty_sets_explained():
    truth = np.repeat([0, 1], 200)
    p = np.tile([[0.6, 0.4]], (400, 1))
    record = SimpleNamespace(task="single-label", conformal={"0.90": 0.5, "0.95": 0.5, "0.50": 0.5})
    found = measure_reliability(record, truth, p)  # half of the sets contain the true class
    assert list(found.broken) == ["0.95", "0.90"]
    captions = [table.caption for table in found.tables() if table.columns[-1] == "empty"]
    assert captions == ["Conformal sets, from validation patches; empty: no class is probable enough"]


def test_the_patch_that_set_the_quantile_is_covered_in_float32_too():
    truth, p = drawn(300, 5, seed=4)
    p = p.astype(np.float32)
    quantile = conformal_quantiles(p, truth, levels=[0.9])["0.90"]
    inside = prediction_sets(p, quantile)[np.arange(300), truth]
    assert inside.sum() == math.ceil(301 * 0.9)
