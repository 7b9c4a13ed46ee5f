from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from swath.errors import DataError
from swath.evaluation import measure_binary
from swath.evaluation.intervals import wilson
from swath.evaluation.metrics import paired_average_precision

NAMES = ("not Dump", "Dump")


def answers(n: int = 400, *, share: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random(n) < share
    return truth, 1 / (1 + np.exp(-(random.normal(size=n) + 3 * truth - 2)))


def test_every_number_is_scikit_learns():
    truth, scores = answers()
    found = measure_binary(truth, scores, threshold=0.4, names=NAMES)
    called = scores >= 0.4
    expected = {
        "average_precision": reference.average_precision_score(truth, scores),
        "auroc": reference.roc_auc_score(truth, scores),
        "precision": reference.precision_score(truth, called),
        "recall": reference.recall_score(truth, called),
        "f1": reference.f1_score(truth, called),
        "accuracy": reference.accuracy_score(truth, called),
    }
    assert set(found.headline()) == set(expected)
    for name, estimate in found.headline().items():
        assert estimate.value == pytest.approx(expected[name], abs=1e-9), name
        assert estimate.low <= estimate.value <= estimate.high, name
    assert (found.positive, found.threshold, found.n) == ("Dump", 0.4, 400)
    assert found.positives == truth.sum() == found.average_precision.n
    assert (found.recall.low, found.recall.high) == wilson(int((truth & called).sum()), int(truth.sum()))


def test_a_score_at_the_threshold_is_positive():
    truth = np.array([True, False])
    found = measure_binary(truth, np.array([0.5, 0.25]), threshold=0.5, names=NAMES)
    assert (found.recall.value, found.precision.value, found.accuracy.value) == (1, 1, 1)


def test_a_split_without_positives_can_be_measured():
    found = measure_binary(np.zeros(5, bool), np.linspace(0, 1, 5), threshold=0.5, names=NAMES)
    assert found.accuracy.value == pytest.approx(0.4)
    assert [found.auroc.n, found.average_precision.n, found.recall.n] == [0, 0, 0]


def test_more_patches_make_average_precision_more_certain():
    few, many = (measure_binary(*answers(n), threshold=0.5, names=NAMES).average_precision for n in (100, 3000))
    assert few.high - few.low > 2 * (many.high - many.low)


@pytest.mark.parametrize("scores", [np.array([0.1]), np.array([0.1, np.nan])])
def test_scores_that_do_not_fit_are_refused(scores):
    with pytest.raises(DataError):
        measure_binary(np.array([True, False]), scores, threshold=0.5, names=NAMES)


def test_the_lead_is_the_difference_in_average_precision_and_near_zero_for_equals():
    truth, scores = answers(800)
    other = scores + np.random.default_rng(1).normal(size=800)
    lead = paired_average_precision(truth, scores, other)
    expected = reference.average_precision_score(truth, scores) - reference.average_precision_score(truth, other)
    assert lead.value == pytest.approx(expected, abs=1e-9)
    assert 0 < lead.low < lead.value < lead.high
    assert lead.n == truth.sum()
    same = paired_average_precision(truth, scores, scores)
    assert same.value == 0
    assert -0.1 < same.low < 0 < same.high < 0.1  # nothing differed, which proves no equality


def test_a_rule_that_names_one_class_ranks_by_chance():
    truth, scores = answers(800)
    lead = paired_average_precision(truth, scores, np.zeros(800))
    expected = reference.average_precision_score(truth, scores) - truth.mean()
    assert lead.value == pytest.approx(expected, abs=1e-9)


def test_a_lead_without_positives_is_unknown():
    lead = paired_average_precision(np.zeros(5, bool), np.linspace(0, 1, 5), np.ones(5))
    assert lead.model_dump() == {"value": 0.0, "low": -1.0, "high": 1.0, "n": 0}
