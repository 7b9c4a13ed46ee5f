from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from swath.evaluation.temperature import to_probabilities
from swath.training.calibrate import validate_network
from swath.training.targets import Targets


def test_probabilities_of_each_task():
    logits = np.array([[2.0, 0.0, -1.0]], np.float32)
    soft = to_probabilities(logits, "single-label", 2.0)
    assert soft.sum() == pytest.approx(1)
    assert np.log(soft[0, 0] / soft[0, 1]) == pytest.approx(1.0)
    both = to_probabilities(np.array([[1.0]], np.float32), "binary", 1.0)
    assert both[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert both.sum() == pytest.approx(1)
    several = to_probabilities(logits, "multi-label", 1.0)
    np.testing.assert_allclose(several, 1 / (1 + np.exp(-logits)), rtol=1e-6)


def test_huge_logits_do_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert to_probabilities(np.array([[-500.0]], np.float32), "binary", 1.0).tolist() == [[1, 0]]


def noisy(seed, n=400, k=1):
    random = np.random.default_rng(seed)
    truth = random.random((n, k)) < 0.2
    return truth, (2 * (2 * truth - 1) + 2 * random.normal(size=(n, k))).astype(np.float32)


def test_a_binary_run_is_judged_at_a_threshold_chosen_on_validation():
    truth, logits = noisy(0)
    judged = validate_network(logits, truth[:, 0].astype(np.int64), Targets("binary", ("rest", "dump")))
    ((name, threshold),) = judged.thresholds.items()
    assert name == "dump"
    scores = to_probabilities(logits, "binary", judged.temperature)[:, 1]
    at = f1_score(truth[:, 0], scores >= threshold)
    assert judged.metrics["f1"].value == pytest.approx(at)
    assert all(at >= f1_score(truth[:, 0], scores >= t) - 1e-12 for t in np.unique(scores))
    assert judged.metrics["auroc"].value == pytest.approx(roc_auc_score(truth[:, 0], scores))
    assert judged.metrics["average_precision"].value == pytest.approx(average_precision_score(truth[:, 0], scores))


def test_a_multi_label_run_has_a_threshold_a_class():
    truth, logits = noisy(1, k=3)
    judged = validate_network(logits, truth.astype(np.float32), Targets("multi-label", ("a", "b", "c")))
    assert list(judged.thresholds) == ["a", "b", "c"]
    scores = to_probabilities(logits, "multi-label", judged.temperature)
    called = scores >= np.array(list(judged.thresholds.values()))
    assert judged.metrics["macro_f1"].value == pytest.approx(f1_score(truth, called, average="macro"))


def test_a_single_label_run_has_none():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    logits = (3 * np.eye(3)[labels] + random.normal(size=(60, 3))).astype(np.float32)
    judged = validate_network(logits, labels, Targets("single-label", ("a", "b", "c")))
    assert judged.thresholds == {}
    assert judged.metrics["accuracy"].value == pytest.approx((logits.argmax(1) == labels).mean())
