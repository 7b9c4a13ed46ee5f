from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from swath.errors import DataError
from swath.evaluation.calibration import BINS, calibration_error, measure_calibration


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
    assert found.ece.value == pytest.approx(float((counts * np.abs(observed - stated)).sum() / 800))


def test_ece_of_a_worked_example():
    # Ten answers at 0.95 of which eight are right, ten at 0.65 of which seven are: (0.15 + 0.05) / 2.
    p = np.array([[0.95, 0.05]] * 10 + [[0.65, 0.35]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [0] * 7 + [1] * 3)
    assert measure_calibration(truth, p).ece.value == pytest.approx(0.10)


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
    assert calibration_error(right, confidence) == pytest.approx(4 / 5 * 0.15 + 1 / 5 * 0.5)


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
    assert calibration_error(right, confidence) == pytest.approx(wanted, abs=2e-3)


def test_a_sure_and_right_model_has_no_calibration_error():
    assert calibration_error(np.ones(9, bool), np.ones(9)) == 0
