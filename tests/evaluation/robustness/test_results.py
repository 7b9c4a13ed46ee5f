from __future__ import annotations

import numpy as np
import pytest

from swath.evaluation.robustness.results import condition


def test_a_condition_counts_unsure_answers():
    found = condition(np.array([True, False, True]), np.array([0.9, 0.4, 0.5]), severity=2, strength="20 m")
    assert (found.accuracy.value, found.accuracy.n) == (pytest.approx(2 / 3), 3)
    assert found.unsure.value == pytest.approx(1 / 3)
    assert found.confidence == pytest.approx(0.6)
