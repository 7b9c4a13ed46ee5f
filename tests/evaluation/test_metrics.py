from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.evaluation import confusion_matrix, measure
from swath.evaluation.metrics import macro_f1, paired_differences

from .cases import answers

few = settings(max_examples=40)


@few
@given(st.integers(1, 60), st.integers(2, 6), st.floats(0, 1), st.integers(0, 10_000))
def test_every_number_is_scikit_learn_s(n, classes, right, seed):
    sk = pytest.importorskip("sklearn.metrics")
    truth, predicted = answers(n, right=right, classes=classes, seed=seed)
    confusion = confusion_matrix(truth, predicted, classes=classes)
    labels = list(range(classes))
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(truth, predicted, labels=labels))
    found = measure(confusion, [str(k) for k in labels])
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(truth, predicted))
    each = sk.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    for k, scores in enumerate(found.per_class.values()):
        values = (scores.precision.value, scores.recall.value, scores.f1.value)
        assert values == pytest.approx(tuple(column[k] for column in each[:3]))
        assert scores.recall.n == each[3][k]
    there = sorted(set(truth.tolist()))
    macro = sk.f1_score(truth, predicted, labels=there, average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(macro)
    assert macro_f1(truth, predicted, classes=classes)[0] == pytest.approx(macro)


@few
@given(st.integers(1, 60), st.integers(1, 6), st.floats(0, 1), st.integers(0, 10_000))
def test_every_interval_holds_its_value(n, classes, right, seed):
    truth, predicted = answers(n, right=right, classes=classes, seed=seed)
    found = measure(confusion_matrix(truth, predicted, classes=classes), [str(k) for k in range(classes)])
    each = [e for s in found.per_class.values() for e in (s.precision, s.recall, s.f1)]
    for estimate in (found.accuracy, found.macro_f1, *each):
        assert 0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value <= estimate.high + 1e-12 <= 1 + 2e-12


@few
@given(st.integers(1, 40), st.integers(2, 5), st.floats(0, 1), st.integers(0, 10_000))
def test_slopes_are_what_one_more_patch_changes(n, classes, right, seed):
    sk = pytest.importorskip("sklearn.metrics")
    truth, predicted = answers(n, right=right, classes=classes, seed=seed)
    value, slopes = macro_f1(truth, predicted, classes=classes)
    there = sorted(set(truth.tolist()))
    step = 1e-6
    weights = np.ones(n)
    weights[0] += step
    more = sk.f1_score(truth, predicted, labels=there, average="macro", zero_division=0, sample_weight=weights)
    assert slopes[0] == pytest.approx((more - value) / step, abs=1e-4)
    assert slopes.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "right"), [(100, 0.7), (60, 0.97)])
def test_macro_f1_covers_the_truth(n, right):
    # The population: three classes alike, a share `right` answered well and the rest by chance.
    hit = right + (1 - right) / 3
    rng = np.random.default_rng(0)
    cells = np.full((3, 3), (1 - hit) / 2 / 3)
    np.fill_diagonal(cells, hit / 3)
    covered = 0
    for _ in range(300):
        confusion = rng.multinomial(n, cells.ravel()).reshape(3, 3)
        estimate = measure(confusion, "abc").macro_f1
        covered += estimate.low <= hit <= estimate.high
    assert covered >= 0.92 * 300


def test_a_class_without_patches_takes_no_part():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    found = measure(confusion_matrix(truth, predicted, classes=4), "abcd")
    assert found.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.per_class["c"].recall.n == 0
    assert found.per_class["c"].precision.n == 1
    assert (found.per_class["d"].f1.low, found.per_class["d"].f1.high) == (0, 1)


def test_differences_are_those_of_the_two_and_paired():
    truth, good = answers(300, right=0.9, seed=1)
    _, same = truth, good.copy()
    accuracy, macro_f1 = paired_differences(truth, good, same, classes=3)
    for same in (accuracy, macro_f1):  # nothing differed, which proves no equality
        assert same.value == 0
        assert -0.01 < same.low < -0.005
        assert same.high == -same.low

    poor = np.where(np.random.default_rng(2).random(300) < 0.4, 0, good)
    accuracy, macro_f1 = paired_differences(truth, good, poor, classes=3)
    one, two = (measure(confusion_matrix(truth, p, classes=3), "abc") for p in (good, poor))
    assert accuracy.value == pytest.approx(one.accuracy.value - two.accuracy.value)
    assert macro_f1.value == pytest.approx(one.macro_f1.value - two.macro_f1.value)
    assert 0 < accuracy.low < accuracy.value < accuracy.high
    back, _ = paired_differences(truth, poor, good, classes=3)
    assert back.value == pytest.approx(-accuracy.value)
    # Pairing helps: both err on the same patches, so the difference is surer than either alone.
    apart = (one.accuracy.high - one.accuracy.low) + (two.accuracy.high - two.accuracy.low)
    assert accuracy.high - accuracy.low < apart


def test_few_answers_that_differ_prove_nothing():
    """Four to none is no more than a coin may do (McNemar's exact p is 0.125); nine to none is."""
    truth = np.zeros(100, np.int64)
    for alone, proven in ((4, False), (9, True)):
        worse = truth.copy()
        worse[:alone] = 1
        accuracy, _ = paired_differences(truth, truth, worse, classes=2)
        assert accuracy.value == pytest.approx(alone / 100)
        assert (accuracy.low > 0) == proven
