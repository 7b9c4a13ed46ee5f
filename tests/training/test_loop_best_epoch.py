from __future__ import annotations

import numpy as np
import pytest

from swath.training.loop import best_epoch, earliest_best_epoch, is_gain, score_weight


@pytest.mark.parametrize(
    ("scores", "patches", "kept"),
    [
        ([0.5], 10, 0),
        ([0.9, 0.985, 0.98, 0.984], 810, 3),  # the second was lucky, by less than half a point
        ([0.9, 0.985, 0.97, 0.96], 810, 1),  # later ones are worse by more than chance
        ([0.9, 0.985, 0.97, 0.95], 40, 2),  # on few patches one of them need not be
        ([1.0, 0.95], 20, 1),  # all of twenty right is luck as well
        ([1.0, 0.95], 2000, 0),
        ([0.0, 0.0], 10, 1),
    ],
)
def test_the_latest_that_chance_cannot_tell_from_the_best_is_kept(scores, patches, kept):
    assert best_epoch(scores, patches=patches) == kept


def test_the_margin_is_one_standard_error():
    assert earliest_best_epoch([0.9, 0.98, 0.97], patches=810) == pytest.approx(0.98 - 0.00492, abs=1e-5)
    assert earliest_best_epoch([1.0], patches=10) == pytest.approx(0.9)
    assert earliest_best_epoch([], patches=100) <= 0  # the first is kept whatever it scored


@pytest.mark.parametrize(
    ("start", "score", "patches", "gain"),
    [
        (0.94, 0.96, 50, False),  # one patch of fifty
        (0.94, 0.98, 50, True),
        (0.94, 0.94, 50_000, False),
        (0.94, 0.9412, 50_000, True),
        (1.0, 1.0, 50, False),
        (0.0, 0.1, 10, False),
        (0.0, 0.2, 10, True),
    ],
)
def test_a_start_is_replaced_by_what_is_better_by_more_than_one_standard_error(start, score, patches, gain):
    assert is_gain(score, start, patches=patches) == gain


def test_a_score_rests_on_what_it_is_a_share_of():
    assert score_weight(np.zeros((2000, 4)), "single-label") == 2000
    binary = np.zeros((2000, 1))
    binary[:20] = 1
    assert score_weight(binary, "binary") == 20
    several = np.zeros((2000, 3))
    several[:20, 0], several[:500, 1] = 1, 1
    assert score_weight(several, "multi-label") == 77  # 4 / (1 / 20 + 1 / 500); the third never occurs
    assert score_weight(np.zeros((9, 2)), "multi-label") == 9
