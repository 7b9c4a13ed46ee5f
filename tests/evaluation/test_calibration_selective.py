from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.evaluation.calibration import measure_selective, risk_coverage
from swath.evaluation.intervals import proportion


def test_a_curve_by_hand():
    coverage, risk = risk_coverage(np.array([True, False, True, True]), np.array([0.9, 0.8, 0.7, 0.6]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40), st.randoms())
def test_ties_do_not_depend_on_the_order_of_patches(pairs, random):
    right, sure = (np.array(column) for column in zip(*pairs, strict=True))
    _, risk = risk_coverage(right, sure)
    order = list(range(len(right)))
    random.shuffle(order)
    _, other = risk_coverage(right[order], sure[order])
    assert other == pytest.approx(risk)
    assert risk[-1] == pytest.approx(1 - right.mean())


@pytest.mark.parametrize("n", [12, 1000])
def test_all_answers_right_is_no_proof_that_none_is_wrong(n):
    found = measure_selective(np.ones(n, bool), np.linspace(0.5, 1, n)).aurc
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - proportion(n, n).low)


def test_aurc_between_the_best_order_and_chance():
    rng = np.random.default_rng(0)
    right = rng.random(2000) < 0.9
    best, chance = (
        measure_selective(right, right * 1.0 + rng.random(2000) / 9),
        measure_selective(right, rng.random(2000)),
    )
    errors = 1 - right.mean()
    # With a perfect order, k answers hold max(0, k - n (1 - e)) errors: the area is e + (1 - e) ln(1 - e).
    assert best.aurc.value == pytest.approx(errors + (1 - errors) * np.log(1 - errors), abs=1e-3)
    assert chance.aurc.low < errors < chance.aurc.high + 0.02
    assert best.aurc.low <= best.aurc.value <= best.aurc.high < chance.aurc.low
    assert best.accuracy["0.80"].value == 1.0
    assert best.accuracy["0.80"].n == 1600
    assert chance.accuracy["0.90"].value == pytest.approx(1 - errors, abs=0.01)
