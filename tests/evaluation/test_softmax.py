from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from swath.evaluation.softmax import fit_softmax


def blobs(seed, *, classes=3, n=300, width=5, apart=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centers = rng.normal(0, apart, (classes, width))
    scale = 10.0 ** rng.uniform(-2, 2, width)
    return (centers[labels] + rng.normal(size=(n, width))) * scale + 7, labels.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_it_is_scikit_learns_regression(classes, strength):
    features, labels = blobs(classes, classes=classes)
    ours = fit_softmax(features, labels, outputs=classes, ridge=1 / (strength * len(labels)), steps=3000)
    standard = (features - ours.center) / ours.scale
    if classes == 2:  # scikit-learn keeps one row of weights then, the difference of both of ours
        strength *= 2
    theirs = LogisticRegression(C=strength, tol=1e-9, max_iter=5000).fit(standard, labels)
    assert ours.probabilities(features) == pytest.approx(theirs.predict_proba(standard), abs=2e-3)


def test_the_slope_vanishes_at_the_solution():
    features, labels = blobs(5, apart=0.7)
    ridge = 0.01
    fitted = fit_softmax(features, labels, outputs=3, ridge=ridge, steps=3000)
    standard = (features - fitted.center) / fitted.scale
    error = fitted.probabilities(features) - np.eye(3)[labels]
    assert np.abs(standard.T @ error / len(labels) + ridge * fitted.weights).max() < 1e-4
    assert np.abs(error.mean(axis=0)).max() < 1e-4


def test_columns_without_spread_and_classes_without_a_patch_do_no_harm():
    features, labels = blobs(6)
    flat = np.concatenate([features, np.full((len(features), 2), 1e9)], axis=1)
    a, b = (fit_softmax(x, labels, outputs=4) for x in (features, flat))
    assert a.predict(features).tolist() == b.predict(flat).tolist()
    assert 3 not in a.predict(features)


def test_without_columns_it_says_the_commonest_class():
    labels = np.array([0, 1, 1, 1, 2])
    fitted = fit_softmax(np.zeros((5, 0)), labels, outputs=3, steps=3000)
    assert fitted.predict(np.zeros((2, 0))).tolist() == [1, 1]
    assert fitted.probabilities(np.zeros((1, 0)))[0] == pytest.approx([0.2, 0.6, 0.2], abs=1e-3)


def test_weights_are_as_repeated_rows():
    features, labels = blobs(5)
    times = np.random.default_rng(0).integers(1, 4, len(labels))
    repeated = np.repeat(np.arange(len(labels)), times)
    inputs = (features - features.mean(0)) / features.std(0)
    options = {"outputs": 3, "ridge": 1e-2, "standardize": False, "steps": 2000, "tolerance": 1e-8}
    weighted = fit_softmax(inputs, labels, weights=times.astype(float), **options)
    plain = fit_softmax(inputs[repeated], labels[repeated], **options)
    np.testing.assert_allclose(weighted.weights, plain.weights, atol=1e-5)


def test_a_strong_penalty_leaves_the_offset():
    features, labels = blobs(6)
    inputs = (features - features.mean(0)) / features.std(0)
    offset = np.eye(3)[(labels + 1) % 3] * 4.0
    kept = fit_softmax(inputs, labels, outputs=3, ridge=1e4, offset=offset, standardize=False)
    assert np.abs(kept.weights).max() < 1e-3
