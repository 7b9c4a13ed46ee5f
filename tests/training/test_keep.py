from __future__ import annotations

import pytest

from swath.training.keep import kept_epoch, least_to_keep


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
    assert kept_epoch(scores, patches=patches) == kept


def test_the_margin_is_one_standard_error():
    assert least_to_keep([0.9, 0.98, 0.97], patches=810) == pytest.approx(0.98 - 0.00492, abs=1e-5)
    assert least_to_keep([1.0], patches=10) == pytest.approx(0.9)
    assert least_to_keep([], patches=100) <= 0  # the first is kept whatever it scored
