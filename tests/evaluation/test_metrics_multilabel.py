from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from swath.errors import DataError
from swath.evaluation import measure_multilabel

NAMES = ("trees", "water", "cars")
THRESHOLDS = (0.5, 0.3, 0.7)


def answers(n: int = 300, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which some come together, and scores with ties."""
    random = np.random.default_rng(seed)
    truth = random.random((n, 3)) < (0.6, 0.3, 0.05)
    truth[:, 2] |= truth[:, 0] & (random.random(n) < 0.1)
    scores = np.round(np.clip(random.normal(0.4, 0.2, (n, 3)) + 0.3 * truth, 0, 1), 2)
    return truth, scores


def test_every_number_is_scikit_learns():
    truth, scores = answers()
    found = measure_multilabel(truth, scores, thresholds=THRESHOLDS, names=NAMES)
    called = scores >= np.array(THRESHOLDS)
    expected = {
        "macro_f1": reference.f1_score(truth, called, average="macro"),
        "micro_f1": reference.f1_score(truth, called, average="micro"),
        "mean_average_precision": reference.average_precision_score(truth, scores, average="macro"),
        "subset_accuracy": reference.accuracy_score(truth, called),
    }
    assert set(found.headline()) == set(expected)
    for name, estimate in found.headline().items():
        assert estimate.value == pytest.approx(expected[name], abs=1e-9), name
        assert estimate.low <= estimate.value <= estimate.high, name
        assert estimate.n == 300
    precision, recall, f1, support = reference.precision_recall_fscore_support(truth, called)
    average = reference.average_precision_score(truth, scores, average=None)
    for k, (name, one) in enumerate(found.per_class.items()):
        assert name == NAMES[k]
        assert one.threshold == THRESHOLDS[k]
        assert one.precision.value == pytest.approx(precision[k], abs=1e-9)
        assert one.recall.value == pytest.approx(recall[k], abs=1e-9)
        assert one.f1.value == pytest.approx(f1[k], abs=1e-9)
        assert one.average_precision.value == pytest.approx(average[k], abs=1e-9)
        assert one.recall.n == support[k]


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_small_splits_agree_too_and_absent_labels_take_no_part(seed, n):
    random = np.random.default_rng(seed)
    truth = random.random((n, 3)) < 0.3
    truth[0, 0], truth[:, 2] = True, False
    scores = random.integers(0, 5, (n, 3)) / 4
    found = measure_multilabel(truth, scores, thresholds=(0.5,) * 3, names=NAMES)
    there = np.flatnonzero(truth.any(axis=0)).tolist()
    macro = reference.f1_score(truth, scores >= 0.5, labels=there, average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(macro, abs=1e-9)
    mean = reference.average_precision_score(truth[:, there], scores[:, there], average="macro")
    assert found.mean_average_precision.value == pytest.approx(mean, abs=1e-9)
    micro = reference.f1_score(truth, scores >= 0.5, average="micro", zero_division=0)
    assert found.micro_f1.value == pytest.approx(micro, abs=1e-9)
    assert found.per_class["cars"].recall.n == found.per_class["cars"].average_precision.n == 0


def test_intervals_know_that_few_patches_say_little():
    few, many = (measure_multilabel(*answers(n), thresholds=THRESHOLDS, names=NAMES).headline() for n in (60, 3000))
    for name in few:
        assert few[name].high - few[name].low > 2 * (many[name].high - many[name].low), name


def test_perfect_answers_are_not_certain_ones():
    truth, _ = answers(40)
    found = measure_multilabel(truth, truth.astype(float), thresholds=(0.5,) * 3, names=NAMES)
    for estimate in found.headline().values():
        assert estimate.value == estimate.high == 1
        assert estimate.low < 0.97


def test_what_cannot_be_measured_is_refused():
    truth, scores = answers(5)
    with pytest.raises(DataError, match="do not fit"):
        measure_multilabel(truth, scores, thresholds=(0.5,), names=NAMES)
    with pytest.raises(DataError, match="no patch has any label"):
        measure_multilabel(np.zeros((5, 3), bool), scores, thresholds=THRESHOLDS, names=NAMES)
