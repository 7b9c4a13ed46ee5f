from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from swath.errors import DataError
from swath.evaluation.calibration import BINS, expected_calibration_error, measure_calibration
from swath.evaluation.intervals import wilson


def drawn(n: int, classes: int, *, seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from the probabilities themselves: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    raised = np.exp(rng.normal(0, sharpness, (n, classes)))
    p = raised / raised.sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return truth, p


@given(st.integers(0, 1000), st.integers(2, 6))
def test_nll_and_brier_are_scikit_learns(seed, classes):
    truth, p = drawn(60, classes, seed=seed)
    found = measure_calibration(truth, p)
    assert found.nll.value == pytest.approx(log_loss(truth, p, labels=range(classes)))
    squared = ((p - np.eye(classes)[truth]) ** 2).sum(axis=1).mean()
    assert found.brier.value == pytest.approx(squared)
    assert found.nll.low <= found.nll.value <= found.nll.high
    assert sum(b.observed.n for b in found.bins) == 60


def test_binary_is_scikit_learns_brier_log_loss_and_reliability_curve():
    truth, p = drawn(800, 2, seed=3)
    found = measure_calibration(truth, p, binary=True)
    assert found.brier.value == pytest.approx(brier_score_loss(truth, p[:, 1]))
    assert found.nll.value == pytest.approx(log_loss(truth, p))
    observed, stated = calibration_curve(truth, p[:, 1], n_bins=BINS)
    full = [b for b in found.bins if b.observed.n]
    assert [b.observed.value for b in full] == pytest.approx(observed.tolist())
    assert [b.stated for b in full] == pytest.approx(stated.tolist())
    counts = np.array([b.observed.n for b in full])
    assert found.ece_uncorrected == pytest.approx(float((counts * np.abs(observed - stated)).sum() / 800))


def test_ece_of_a_worked_example():
    # Ten answers at 0.95 of which eight are right, ten at 0.65 of which seven are: (0.15 + 0.05) / 2.
    p = np.array([[0.95, 0.05]] * 10 + [[0.65, 0.35]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [0] * 7 + [1] * 3)
    assert measure_calibration(truth, p).ece_uncorrected == pytest.approx(0.10)


def test_overconfidence_shows_and_calibration_does_not():
    truth, p = drawn(4000, 5, seed=1)
    sharper = p**3 / (p**3).sum(axis=1, keepdims=True)
    fair, over = measure_calibration(truth, p).ece, measure_calibration(truth, sharper).ece
    assert fair.low < 0.01
    assert over.low > fair.high
    assert over.low <= over.value <= over.high


def test_a_bin_is_closed_above():
    p = np.array([[0.6, 0.4], [0.6 + 1e-9, 0.4 - 1e-9]])
    found = measure_calibration(np.array([0, 0]), p)
    assert [b.observed.n for b in found.bins][8:10] == [1, 1]


def test_a_probability_of_0_costs_a_finite_amount():
    found = measure_calibration(np.array([1]), np.array([[1.0, 0.0]]))
    assert 80 < found.nll.value < 100


@pytest.mark.parametrize("shape", [(0, 2), (3, 2)])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(DataError, match="truth has shape"):
        measure_calibration(np.zeros(0 if shape[0] == 0 else 2, np.int64), np.zeros(shape))


def test_calibration_error_of_a_worked_example():
    # Two bins of five: (0.9 said, 3 of 4 right) and (0.5 said, 1 of 1 right).
    right = np.array([True, True, True, False, True])
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5])
    assert expected_calibration_error(right, confidence).ece_uncorrected == pytest.approx(4 / 5 * 0.15 + 1 / 5 * 0.5)


def test_calibration_error_is_the_plain_sum_over_bins():
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.random(500), [0.0, 1.0, 1 / 15, 0.2]]).astype(np.float32)
    right = rng.random(504) < confidence
    wanted, edges = 0.0, np.linspace(0, 1, 16)
    values = confidence.astype(np.float64)
    for low, high in pairwise(edges):
        inside = (values > low) & (values <= high) if low else (values <= high)
        if inside.any():
            wanted += inside.mean() * abs(right[inside].mean() - values[inside].mean())
    assert expected_calibration_error(right, confidence).ece_uncorrected == pytest.approx(wanted, abs=2e-3)


def test_a_sure_and_right_model_has_no_calibration_error_and_may_yet_have_one():
    found = expected_calibration_error(np.ones(9, bool), np.ones(9))
    assert found.ece_uncorrected == found.ece.value == found.ece.low == 0
    assert found.ece.high == pytest.approx(1 - wilson(9, 9)[0])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_every_interval_holds_its_value_and_has_a_width(pairs):
    stated, true = (np.array(column) for column in zip(*pairs, strict=True))
    probabilities = np.stack([1 - stated, stated], axis=1)
    found = measure_calibration(true.astype(np.int64), probabilities, binary=True)
    for estimate in (found.ece, found.nll, found.brier):
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        assert estimate.high > estimate.low
    assert found.ece.value <= found.ece_uncorrected + 1e-12


def test_the_correction_is_the_mean_over_halves():
    """Signs of the bins' gaps from one half of the patches and sizes from the other, over many ways to halve them."""
    rng = np.random.default_rng(4)
    stated = rng.choice([0.31, 0.52, 0.73, 0.94], 600)
    true = rng.random(600) < stated - 0.05 * (stated > 0.5)
    gaps = np.eye(4)[np.searchsorted([0.4, 0.6, 0.8], stated)] * (true - stated)[:, None]
    halved = []
    for _ in range(4000):
        order = rng.permutation(600)
        one, two = gaps[order[:300]].sum(axis=0), gaps[order[300:]].sum(axis=0)
        halved.append((np.sign(one) * two + np.sign(two) * one).sum() / 600)
    assert expected_calibration_error(true, stated).ece.value == pytest.approx(np.mean(halved), abs=2e-3)


def test_chance_alone_makes_the_plain_sum_as_large_as_said_and_the_corrected_one_hardly():
    found = [measure_calibration(*drawn(200, 10, seed=seed)) for seed in range(300)]
    plain = np.mean([f.ece_uncorrected for f in found])
    assert plain > 0.04
    assert np.mean([f.ece_by_chance for f in found]) == pytest.approx(plain, rel=0.03)
    assert np.mean([f.ece.value for f in found]) < 0.2 * plain
