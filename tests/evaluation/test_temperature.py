from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.evaluation.temperature import fit_binary_temperature, fit_offsets, fit_temperature, mean_nll


def calibrated(n: int, *, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth: labels are drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    raised = np.exp(logits)
    shares = (raised / raised.sum(1, keepdims=True)).cumsum(1)
    return logits, (rng.random((n, 1)) > shares).sum(1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
def test_it_undoes_a_factor_on_calibrated_logits(factor):
    logits, labels = calibrated(6000)
    temperature = fit_temperature(logits * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.1)
    after = mean_nll(logits * factor, labels, temperature)
    if factor != 1:
        assert after < mean_nll(logits * factor, labels, 1.0) - 0.05


@given(seed=st.integers(0, 500), factor=st.floats(0.2, 10), n=st.integers(20, 200))
@settings(max_examples=30)
def test_no_other_temperature_does_better(seed, factor, n):
    logits, labels = calibrated(n, seed=seed)
    logits = logits * factor
    best = fit_temperature(logits, labels)
    assert 0.05 <= best <= 20

    def loss(temperature: float) -> float:
        return mean_nll(logits, labels, temperature, smoothing=1 / (n + 2))

    assert all(loss(best) <= loss(t) + 1e-9 for t in np.geomspace(0.05, 20, 60))


def test_a_small_split_without_an_error_is_no_proof_of_certainty():
    labels = np.arange(40) % 4
    logits = np.eye(4)[labels] * 3
    temperature = fit_temperature(logits, labels)
    raised = np.exp(logits / temperature)
    confidence = (raised / raised.sum(1, keepdims=True)).max(1)
    assert confidence == pytest.approx(41 / 42, abs=1e-3)


def test_the_loss_is_the_textbook_one_and_does_not_overflow():
    logits = np.array([[1.0, 2.0, 0.0]])
    wanted = np.log(np.exp(logits / 2).sum()) - 1.0
    assert mean_nll(logits, np.array([1]), 2.0) == pytest.approx(wanted)
    assert mean_nll(np.array([[1e5, 0.0]]), np.array([1]), 1.0) == pytest.approx(1e5)


def test_offsets_take_back_what_a_weight_on_positives_did():
    """Odds ten times too high and logits half as large again: offset and temperature find both."""
    rng = np.random.default_rng(0)
    true = rng.normal(-3, 2, (20_000, 2))
    targets = (rng.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    logits = 1.5 * (true + np.log(10))
    offsets = fit_offsets(logits, targets)
    np.testing.assert_allclose(offsets, -1.5 * np.log(10), atol=0.15)
    temperature = fit_binary_temperature(logits + offsets, targets)
    assert temperature == pytest.approx(1.5, rel=0.03)
    probabilities = 1 / (1 + np.exp(-(logits + offsets) / temperature))
    np.testing.assert_allclose(probabilities.mean(axis=0), targets.mean(axis=0), atol=1e-3)


@given(st.integers(0, 99), st.integers(2, 40))
@settings(max_examples=20)
def test_offsets_are_finite_however_well_the_labels_are_told_apart(seed, n):
    rng = np.random.default_rng(seed)
    targets = (np.arange(n) % 2)[:, None].astype(np.float32)
    logits = (targets - 0.5) * 80 + rng.normal(size=(n, 1))
    assert np.isfinite(fit_offsets(logits, targets)).all()
