from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, sem, t

from swath.evaluation.intervals import (
    delta_interval,
    f1_estimate,
    mean_difference,
    mean_estimate,
    mean_interval,
    mean_share,
    mean_slopes,
    proportion,
    proportion_difference,
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
        (1, 29, 0.0513 / 29, 0.1718),  # the lower limit modified as in Brown, Cai and DasGupta 2001; Wilson's is 0.0061
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


@pytest.mark.parametrize("n", [50, 51, 200, 1000])
def test_wilson_covers_every_share(n):
    """Not by simulation: the probability of every count is known. Wilson's own limits cover as few as 83 %."""
    limits = np.array([wilson(k, n) for k in range(n + 1)])
    for share in np.concatenate([np.geomspace(0.02, 2, 60) / n, np.linspace(2 / n, 0.5, 300)]):
        covered = binom.pmf(np.arange(n + 1), n, share)[(limits[:, 0] <= share) & (share <= limits[:, 1])].sum()
        assert covered >= 0.92, share


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


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 80])
def test_mean_and_interval_equal_scipys(n):
    values = np.random.default_rng(0).gamma(2, size=n) / 100
    found = mean_estimate(values, signed=True)
    assert found.value == pytest.approx(values.mean())
    wanted = t.interval(0.95, n - 1, loc=values.mean(), scale=sem(values))
    assert (found.low, found.high) == pytest.approx(wanted, rel=2e-3)
    assert found.n == n


def test_of_one_value_nothing_is_known():
    assert mean_estimate(np.array([0.4])) == Estimate(value=0.4, low=0, high=1, n=1)
    assert mean_estimate(np.array([0.4]), signed=True) == Estimate(value=0.4, low=-1, high=1, n=1)


@few
@given(st.floats(0.01, 0.99), st.sampled_from(["log", "logit", "plain"]), st.integers(2, 50))
def test_a_scale_keeps_an_interval_in_range_and_hardly_matters_for_many(value, scale, n):
    slopes = mean_slopes(np.random.default_rng(n).normal(size=n))
    low, high = delta_interval(value, slopes, scale=scale)
    assert 0 <= low <= value <= high <= 1
    tiny = slopes * 1e-5
    assert delta_interval(value, tiny, scale=scale) == pytest.approx(delta_interval(value, tiny), abs=1e-6)


def test_no_difference_seen_is_not_none():
    found = mean_difference(np.zeros(500))
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert found.high == pytest.approx(1.96 * 2**0.5 / 502, rel=1e-3)  # Bonett and Price, none only one gets right
    one = mean_difference(np.eye(1, 500)[0])
    assert one.low < 0 < one.value < one.high


def test_a_mean_of_shares_is_uncertain_even_where_all_are_right():
    for n in (5, 50, 1000):
        found, certain = mean_share(np.ones(n)), 1 - 1 / n
        assert found.value == found.high == 1
        assert wilson(n, n)[0] - 0.15 < found.low < certain
    none = mean_share(np.zeros(50))
    assert none.value == none.low == 0
    assert 0.02 < none.high < 0.12


@pytest.mark.parametrize("signed", [False, True])
def test_values_that_are_all_the_same_leave_room_for_others(signed):
    for value in (0.0, 0.3, 1.0):
        found = mean_estimate(np.full(20, value), signed=signed)
        assert found.low <= value <= found.high
        assert found.high - found.low > 0.05
