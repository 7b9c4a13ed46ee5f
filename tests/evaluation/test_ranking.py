from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from swath.evaluation import auroc, average_precision, best_threshold, precision_recall_curve, roc_curve
from swath.evaluation.ranking import Ranking, auroc_estimate, average_precision_estimate

# Few different scores, so that most examples have ties; both classes, so that all numbers are defined.
ANSWERS = (
    st.lists(st.tuples(st.booleans(), st.integers(0, 7)), min_size=2, max_size=40)
    .filter(lambda rows: len({truth for truth, _ in rows}) == 2)
    .map(lambda rows: (np.array([t for t, _ in rows]), np.array([s / 7 for _, s in rows])))
)


@given(ANSWERS)
def test_numbers_are_scikit_learns(answers):
    truth, scores = answers
    assert average_precision(truth, scores) == pytest.approx(reference.average_precision_score(truth, scores), abs=1e-9)
    assert auroc(truth, scores) == pytest.approx(reference.roc_auc_score(truth, scores), abs=1e-9)


@given(ANSWERS)
def test_curves_are_scikit_learns(answers):
    truth, scores = answers
    ours = precision_recall_curve(truth, scores)
    precision, recall, thresholds = reference.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(ours.y, precision[::-1], atol=1e-12)
    np.testing.assert_allclose(ours.x, recall[::-1], atol=1e-12)
    np.testing.assert_allclose(ours.thresholds[1:], thresholds[::-1])
    ours = roc_curve(truth, scores)
    x, y, thresholds = reference.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours.x, x, atol=1e-12)
    np.testing.assert_allclose(ours.y, y, atol=1e-12)
    np.testing.assert_allclose(ours.thresholds, thresholds)


def test_float32_scores_of_a_real_size_are_ranked_alike():
    random = np.random.default_rng(0)
    truth = random.random(5000) < 0.1
    scores = (random.normal(size=5000) + truth).astype(np.float32)
    assert average_precision(truth, scores) == pytest.approx(reference.average_precision_score(truth, scores), abs=1e-9)
    assert auroc(truth, scores) == pytest.approx(reference.roc_auc_score(truth, scores), abs=1e-9)


def test_without_positives_or_negatives_nothing_is_claimed():
    scores = np.array([0.1, 0.2])
    assert average_precision(np.zeros(2, bool), scores) == 0
    for truth in (np.zeros(2, bool), np.ones(2, bool)):
        assert auroc_estimate(truth, scores).n == 0
        assert (auroc_estimate(truth, scores).low, auroc_estimate(truth, scores).high) == (0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, recall, _ = reference.precision_recall_curve(np.zeros(2, bool), scores)
    np.testing.assert_array_equal(precision_recall_curve(np.zeros(2, bool), scores).x, recall[::-1])


@given(ANSWERS, st.integers(0, 9))
def test_slopes_are_what_one_more_patch_changes(answers, seed):
    truth, scores = answers
    ranking = Ranking(truth, scores)
    if not ranking.positives:
        return
    slopes, step = ranking.average_precision_slopes(), 1e-6
    weights = np.ones(len(truth))
    place = seed % len(truth)
    weights[place] += step
    more = reference.average_precision_score(truth, scores, sample_weight=weights)
    assert slopes[place] == pytest.approx((more - ranking.average_precision) / step, abs=1e-4)
    assert slopes.sum() == pytest.approx(0, abs=1e-9)


@given(ANSWERS)
def test_the_threshold_has_the_largest_f1_of_all(answers):
    truth, scores = answers
    chosen = best_threshold(truth, scores)
    assert 0 < chosen < 1
    tried = np.concatenate([np.linspace(0.001, 0.999, 300), [chosen]])
    called = scores >= tried[:, None]
    f1 = 2 * (called & truth).sum(axis=1) / (called.sum(axis=1) + truth.sum())
    assert f1[-1] == pytest.approx(max(f1), abs=1e-9)


def test_the_threshold_lies_half_way_and_near_one_half():
    truth = np.array([False, False, True, True])
    assert best_threshold(truth, np.array([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.4)
    # Calling one patch positive or all four has the same F1, 2/3: 0.75 is nearer to 0.5 than 0.05 is.
    truth = np.array([True, False, False, True])
    assert best_threshold(truth, np.array([0.1, 0.4, 0.6, 0.9])) == pytest.approx(0.75)


def test_a_threshold_is_never_out_of_range_or_made_of_nothing():
    assert best_threshold(np.zeros(3, bool), np.array([0.1, 0.2, 0.3])) == 0.5
    assert best_threshold(np.ones(3, bool), np.zeros(3)) == 0.5
    assert best_threshold(np.array([True, False]), np.array([1.0, 0.0])) == 0.5
    assert best_threshold(np.array([True, True]), np.array([1.0, 1.0])) == 0.5
    assert 0 < best_threshold(np.array([False, True]), np.array([1.0, 0.0])) < 1


def test_neighbors_in_float32_stay_on_their_sides():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([low, high])
    chosen = best_threshold(np.array([False, True]), scores)
    np.testing.assert_array_equal(scores.astype(np.float64) >= chosen, [False, True])


def test_a_perfect_ranking_of_few_is_still_uncertain():
    truth = np.arange(20) < 5
    scores = np.linspace(1, 0, 20)
    area = auroc_estimate(truth, scores)
    assert (area.value, area.high, area.n) == (1, 1, 20)
    assert 0.7 < area.low < 0.95
    ranking = Ranking(truth, scores)
    precision = average_precision_estimate(ranking, ranking.average_precision_slopes())
    assert (precision.value, precision.high, precision.n) == (1, 1, 5)
    assert precision.low == pytest.approx(0.5655, abs=1e-3)  # Wilson, 5 of 5


def test_a_positive_that_counts_itself_flatters_a_ranking_by_chance():
    random = np.random.default_rng(0)
    drawn = [Ranking(np.arange(60) < 3, random.random(60)) for _ in range(400)]
    values = np.array([(r.average_precision, r.average_precision_excess) for r in drawn])
    assert values[:, 0].mean() > 0.08  # guessing has 3 of 60
    assert (values[:, 0] - values[:, 1]).mean() == pytest.approx(0.05, abs=0.015)
    assert Ranking(np.arange(60) < 30, np.linspace(1, 0, 60)).average_precision_excess == 0


def test_auroc_intervals_hold_the_truth_about_as_often_as_they_say():
    # Two normal distributions a standard deviation apart: the true AUROC is Phi(1 / sqrt 2) = 0.7602.
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        truth = np.arange(80) < 20
        found = auroc_estimate(truth, random.normal(size=80) + truth)
        held += found.low <= 0.7602 <= found.high
    assert 0.92 <= held / 400 <= 0.98
