from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.model.memory import ClassMemory
from swath.teaching.head import MEMORY_WEIGHT, Head, Lesson, fit_head, fit_rows, make_folds, remember

WIDTH = 12


def lesson(n=8, *, shift=4.0, memory=True, seed=0, groups=None):
    """Three classes of Gaussians; in the scene all of them are shifted, and the third is not labeled."""
    rng = np.random.default_rng(seed)
    centers = 3 * np.eye(3, WIDTH)
    old = np.repeat(np.arange(3), 100)
    trained = centers[old] + rng.normal(0, 0.5, (300, WIDTH))
    kept = ClassMemory.of(trained, old)
    labels = np.repeat(np.arange(2), n)
    features = centers[labels][:, None] + rng.normal(0, 0.5, (2 * n, 4, WIDTH))
    features[..., 3] += shift
    features[..., 0] -= shift
    start = Head(centers.copy(), -(centers**2).sum(1) / 2)
    own = np.arange(2 * n)
    drawn = remember(kept if memory else None, places=n, width=WIDTH, seed=0)
    return Lesson(features, labels, own, own if groups is None else groups, *drawn, start), trained, old


def accuracy(head, features, labels):
    return float((head.logits(features).argmax(-1) == labels).mean())


def test_it_learns_the_shift_and_keeps_the_class_that_no_place_has():
    given_lesson, trained, old = lesson()
    fitted = fit_head(given_lesson)
    assert accuracy(given_lesson.start, given_lesson.features[:, 0], given_lesson.labels) < 0.8
    assert accuracy(fitted.head, given_lesson.features[:, 0], given_lesson.labels) == 1
    assert accuracy(fitted.head, trained, old) > 0.97
    bare, _ = fit_rows(lesson(memory=False)[0], np.ones(16, bool), strength=1e-4)
    assert accuracy(bare, trained, old) < accuracy(fitted.head, trained, old)


def test_held_out_answers_are_those_of_heads_that_did_not_learn_from_them():
    """A label that contradicts all others is not repeated by a head that has not seen it."""
    given_lesson, _, _ = lesson()
    given_lesson.labels[0] = 1
    fitted = fit_head(given_lesson, strengths=(1e-4,))
    assert fitted.held_out[0, 0].argmax() == 0


def test_a_strong_penalty_keeps_the_head():
    given_lesson, _, _ = lesson()
    strong, weak = (fit_rows(given_lesson, np.ones(16, bool), strength=s)[0] for s in (1e4, 1e-3))
    moved = [np.abs(head.weight - given_lesson.start.weight).max() for head in (strong, weak)]
    assert moved[0] < 0.01 < moved[1]


def test_memory_counts_as_many_places_as_it_was_measured_on_at_most():
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros(500, np.int64), np.ones(3, np.int64)])
    _, classes, weights = remember(ClassMemory.of(rng.random((503, 4)), labels), places=2, width=4, seed=0)
    assert np.isclose(weights[classes == 0].sum(), MEMORY_WEIGHT)
    assert np.isclose(weights[classes == 1].sum(), 3)


@given(st.integers(0, 200), st.integers(4, 80))
@settings(max_examples=40, deadline=None)
def test_folds_keep_groups_whole_and_leave_others_to_learn_from(seed, n):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, max(2, n // 2), n)
    folds = make_folds(rng.integers(0, 3, n), groups)
    for group in np.unique(groups):
        assert len(set(folds[groups == group].tolist())) == 1
    if len(np.unique(groups)) > 1:
        assert all((folds != fold).any() for fold in np.unique(folds))


def test_one_group_still_gives_a_head():
    given_lesson, _, _ = lesson(groups=np.zeros(16, np.int64))
    assert accuracy(fit_head(given_lesson).head, given_lesson.features[:, 0], given_lesson.labels) == 1
