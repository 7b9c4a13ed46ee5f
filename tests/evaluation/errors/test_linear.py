from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from swath.evaluation.errors.linear import fit_regression, softmax


def clouds(n: int = 300, d: int = 6, classes: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(0, 1, (n, d)) * 3 + rng.normal(0, 2, (classes, d))[labels] + 5, labels


@pytest.mark.parametrize(("classes", "penalty"), [(2, 1.0), (3, 0.1), (5, 30.0)])
def test_it_is_scikit_learns_regression(classes, penalty):
    features, labels = clouds(classes=classes)
    ours = fit_regression(features, labels, classes=classes, penalty=penalty, tolerance=1e-9, steps=5000)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    # For two classes scikit-learn has one row of weights, w1 - w0 = 2 w1, so its penalty is half of ours.
    strength = 1 / penalty if classes > 2 else 2 / penalty
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(standard, labels)
    np.testing.assert_allclose(ours.probabilities(features), theirs.predict_proba(standard), atol=1e-5)


def test_the_default_stop_is_near_enough():
    features, labels = clouds(1000, 20, 4)
    rough = fit_regression(features, labels, classes=4).probabilities(features)
    exact = fit_regression(features, labels, classes=4, tolerance=1e-9, steps=5000).probabilities(features)
    assert np.abs(rough - exact).max() < 0.02


def test_a_feature_without_spread_and_a_class_without_patches_do_no_harm():
    features, labels = clouds(classes=2)
    features[:, 0] = 7.0
    found = fit_regression(features, labels, classes=3).probabilities(features)
    assert np.isfinite(found).all()
    assert (found[:, 2] < 0.2).all()


def test_softmax_of_large_scores():
    np.testing.assert_allclose(
        softmax(np.array([[1000.0, 1000.0], [0.0, -np.log(3)]])), [[0.5, 0.5], [0.75, 0.25]]
    )
