from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import DataError
from swath.evaluation.errors import estimated_joint, label_issues


def test_hand_worked_example():
    """Two classes: thresholds 0.7 and 0.6; row 2 speaks for class 1, row 3 for nothing, row 6 for class 0."""
    p_first = np.array([0.95, 0.90, 0.25, 0.70 - 1e-3, 0.20, 0.15, 0.85])
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    found = label_issues(np.stack([p_first, 1 - p_first], axis=1), labels)

    # Means of 0.95, 0.90, 0.25, 0.699 and of 0.80, 0.85, 0.15.
    np.testing.assert_allclose(found.thresholds, [0.69975, 0.6])
    # 0.699 < 0.69975 and 0.301 < 0.6: that patch is counted nowhere.
    np.testing.assert_array_equal(found.joint, [[2, 1], [1, 2]])
    np.testing.assert_array_equal(np.flatnonzero(found.candidate), [2, 6])
    np.testing.assert_array_equal(found.suggested, [1, 1, 1, 1, 0, 0, 0])
    # Score (1 - p_label + p_other) / 2 is 1 - p_label for two classes: 0.85 for row 6, 0.75 for row 2.
    np.testing.assert_allclose(found.score[[6, 2]], [0.85, 0.75])
    np.testing.assert_array_equal(found.order, [6, 2, 3, 4, 5, 1, 0])
    # Rows stretched to 4 and 3 patches: 4/3 + 3/3 of them lie off the diagonal.
    assert found.estimated == pytest.approx(4 / 3 + 1)


def test_published_joint_of_dogs_foxes_and_cows():
    """After figure 1 of Northcutt et al. 2021, not checked against it: counts, and the joint they give."""
    counts = np.array([[100, 40, 20], [56, 60, 0], [32, 12, 80]])
    published = [[0.25, 0.1, 0.05], [0.14, 0.15, 0.0], [0.08, 0.03, 0.2]]
    np.testing.assert_allclose(estimated_joint(counts, counts.sum(axis=1)), published)


def test_of_two_classes_above_their_thresholds_the_likelier_is_meant():
    """Equation 1 of the paper: a patch speaks for the largest of all classes above their thresholds."""
    p = np.array([[0.1, 0.5, 0.4], [0.8, 0.1, 0.1], [0.6, 0.4, 0.0], [0.5, 0.2, 0.3]])
    found = label_issues(p, np.array([0, 0, 1, 2]))  # thresholds 0.45, 0.4, 0.3
    # Row 0 lies above the thresholds of 1 and 2; row 2 above those of 0 and 1; row 3 above those of 0 and 2.
    np.testing.assert_array_equal(found.joint, [[1, 1, 0], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.suggested[[0, 2, 3]], [1, 0, 0])


def test_perfect_labels_have_no_suspect():
    found = label_issues(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0]))
    assert not found.candidate.any()
    assert found.estimated == 0


def test_a_class_nobody_is_labeled_is_never_suggested_as_a_candidate():
    p = np.array([[0.1, 0.9, 0.0], [0.2, 0.1, 0.7], [0.3, 0.3, 0.4]])
    found = label_issues(p, np.array([0, 0, 1]))
    assert found.thresholds[2] == np.inf
    assert 2 not in found.suggested[found.candidate]


@pytest.mark.parametrize(
    ("p", "labels", "says"),
    [
        (np.full((2, 2), 0.5), [0], "do not fit"),
        (np.full((2, 1), 1.0), [0, 0], "two classes"),
        (np.array([[2.0, -1.0]]), [0], "between 0 and 1"),
        (np.array([[np.nan, 0.5]]), [0], "between 0 and 1"),
        (np.full((1, 2), 0.5), [2], "not one of the 2 classes"),
    ],
)
def test_what_is_no_probability_is_refused(p, labels, says):
    with pytest.raises(DataError, match=says):
        label_issues(p, np.array(labels))


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 2**31))
def test_any_input_gives_a_whole_ranking(classes, n, seed):
    rng = np.random.default_rng(seed)
    p, labels = rng.dirichlet(np.ones(classes), n), rng.integers(0, classes, n)
    found = label_issues(p, labels)
    assert sorted(found.order) == list(range(n))
    assert (found.suggested != labels).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()
    ranked = found.candidate[found.order]
    assert not (np.diff(ranked.astype(int)) > 0).any()  # candidates first
    for part in (ranked, ~ranked):
        assert (np.diff(found.score[found.order][part]) <= 0).all()
    assert found.joint.sum() - np.trace(found.joint) == found.candidate.sum()
    assert -1e-9 <= found.estimated <= n
    # Someone always reaches the mean of their own class.
    assert (found.joint.sum(axis=1)[np.unique(labels)] > 0).sum() >= 1


def test_planted_flips_come_first():
    """Good probabilities, 5 % of labels flipped: nearly all of them in the first tenth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    scores = rng.normal(0, 1, (2000, 4))
    scores[np.arange(2000), truth] += 4
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    flipped = rng.permutation(2000)[:100]
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, 4, 100)) % 4
    found = label_issues(p, labels)
    assert np.isin(flipped, found.order[:200]).mean() >= 0.95
    assert 60 < found.estimated < 250
