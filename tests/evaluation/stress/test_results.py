from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from swath.evaluation.stress import calibration_error
from swath.evaluation.stress.results import condition


def test_calibration_error_of_a_worked_example():
    # Two bins of five: (0.9 said, 3 of 4 right) and (0.5 said, 1 of 1 right).
    right = np.array([True, True, True, False, True])
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5])
    assert calibration_error(right, confidence, bins=5) == pytest.approx(4 / 5 * 0.15 + 1 / 5 * 0.5)


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


def test_a_condition_counts_unsure_answers():
    found = condition(np.array([True, False, True]), np.array([0.9, 0.4, 0.5]), level=2, strength="20 m")
    assert (found.accuracy.value, found.accuracy.n) == (pytest.approx(2 / 3), 3)
    assert found.unsure.value == pytest.approx(1 / 3)
    assert found.confidence == pytest.approx(0.6)
