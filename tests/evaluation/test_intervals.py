from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from swath.evaluation.intervals import (
    f1_estimate,
    mean_difference,
    mean_estimate,
    mean_interval,
    mean_share,
    percentile_interval,
    proportion,
    proportion_difference,
    resample,
    wilson,
)
from swath.model.record import Estimate

few = settings(max_examples=50)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_limits(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


@few
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_limits_hold_the_value_and_stay_in_range(case):
    successes, n = case
    estimate = proportion(successes, n)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high > estimate.low
    more = proportion(4 * successes, 4 * n)
    assert more.high - more.low < estimate.high - estimate.low


def test_nothing_is_known_of_nothing():
    assert proportion(0, 0) == Estimate(value=0, low=0, high=1, n=0)
    assert f1_estimate(0, 0) == Estimate(value=0, low=0, high=1, n=0)


@few
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_f1_is_the_usual_one(hits, missed, false_alarms):
    estimate = f1_estimate(hits, hits + missed + false_alarms)
    whole = 2 * hits + missed + false_alarms
    assert estimate.value == pytest.approx(2 * hits / whole if whole else 0)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
@pytest.mark.parametrize("n", [30, 200])
def test_wilson_covers_the_truth_about_as_often_as_it_says(share, n):
    draws = np.random.default_rng(0).binomial(n, share, 4000)
    covered = np.mean([low <= share <= high for low, high in (wilson(int(k), n) for k in draws)])
    assert 0.92 <= covered <= 0.985


def test_resampling_is_seeded_and_keeps_the_count():
    counts = np.array([5, 0, 20, 75])
    first = resample(counts, resamples=300, seed=4)
    np.testing.assert_array_equal(first, resample(counts, resamples=300, seed=4))
    assert (first != resample(counts, resamples=300, seed=5)).any()
    assert first.shape == (300, 4)
    assert (first.sum(axis=1) == 100).all()
    assert (first[:, 1] == 0).all()
    np.testing.assert_allclose(first.mean(axis=0), counts, atol=1.5)


def test_percentiles():
    assert percentile_interval(np.arange(1001.0)) == (25.0, 975.0)


def test_the_mean_of_independent_estimates_is_surer_than_each():
    part = Estimate(value=0.5, low=0.4, high=0.6, n=100)
    assert mean_interval([part]) == pytest.approx((0.4, 0.6))
    assert mean_interval([part] * 4) == pytest.approx((0.45, 0.55))
    sure = Estimate(value=1.0, low=0.9, high=1.0, n=40)
    assert mean_interval([sure, sure])[1] == 1.0


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((5, 56, 0, 29), -0.0381, 0.1926)],
)
def test_newcombes_published_intervals(table, low, high):
    """After Newcombe 1998, table II, method 10; not checked against the paper."""
    found = proportion_difference(*table)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == pytest.approx(table[0] / table[1] - table[2] / table[3])


def test_the_difference_to_nothing_is_unknown():
    assert proportion_difference(3, 4, 0, 0).model_dump() == {"value": 0.0, "low": -1.0, "high": 1.0, "n": 0}


def test_mean_and_interval_equal_scipys():
    values = np.random.default_rng(0).gamma(2, size=80)
    found = mean_estimate(values)
    assert found.value == pytest.approx(values.mean())
    wanted = bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1).confidence_interval
    assert found.low == pytest.approx(wanted.low, abs=0.02)
    assert found.high == pytest.approx(wanted.high, abs=0.02)
    assert found.n == 80


def test_no_difference_seen_is_not_none():
    found = mean_difference(np.zeros(500))
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert 0.005 < found.high < 0.01  # Newcombe's for 0 of 500 against 0 of 500
    one = mean_difference(np.eye(1, 500)[0])
    assert one.low < 0 < one.value < one.high


def test_a_mean_of_shares_is_uncertain_even_where_all_are_right():
    for n in (5, 1000):
        found = mean_share(np.ones(n))
        assert (found.low, found.high) == pytest.approx(wilson(n, n))
    none = mean_share(np.zeros(5))
    assert (none.low, none.high) == pytest.approx(wilson(0, 5))
