"""Few groups shared out whole: exactly by trying all ways, and not much worse by moves and exchanges."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import units as module
from swath.data.units import Unit, best_sides


def scenes(seed, n, classes=3):
    """Groups with some of the classes each, and the patches of each class wanted in test and val."""
    rng = np.random.default_rng(seed)
    made, start = [], 0
    for _ in range(n):
        counts = {f"c{k}": int(rng.integers(1, 20)) for k in range(classes) if rng.random() < 0.6} or {"c0": 3}
        size = sum(counts.values())
        made.append(Unit(tuple(range(start, start + size)), Counter(counts)))
        start += size
    total = sum((Counter(unit.counts) for unit in made), Counter())
    return made, [{label: 0.2 * count for label, count in total.items()} for _ in range(2)]


def lost(groups, sides):
    """Classes that train, test and val lack."""
    labels = {label for unit in groups for label in unit.counts}
    return [
        len(labels - {x for u, s in zip(groups, sides, strict=True) if s == side for x in u.counts})
        for side in range(3)
    ]


@given(st.integers(0, 10_000), st.integers(3, 30))
@settings(max_examples=40, deadline=None)
def test_no_side_is_empty_and_train_has_every_class_it_can(seed, n):
    groups, targets = scenes(seed, n)
    sides = best_sides(groups, targets)
    assert set(sides) == {0, 1, 2}
    if n > 8:
        assert lost(groups, sides)[0] == 0


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_moves_lose_no_more_classes_than_all_ways(seed):
    groups, targets = scenes(seed, 7)
    exact = best_sides(groups, targets)
    with mock.patch.object(module, "_ALL_WAYS", 0):
        moved = best_sides(groups, targets)
    assert lost(groups, moved)[0] == lost(groups, exact)[0]
    assert sum(lost(groups, moved)) <= sum(lost(groups, exact)) + 1


def test_two_groups_make_train_and_test():
    groups = [Unit((0, 1), Counter(a=2)), Unit((2, 3, 4), Counter(a=3))]
    assert sorted(best_sides(groups, [{"a": 1.0}])) == [0, 1]


@pytest.mark.parametrize("n", [40, 120])
def test_shares_are_met_where_groups_allow_it(n):
    groups = [Unit((row,), Counter({"ab"[row % 2]: 5})) for row in range(n)]
    sides = best_sides(groups, [{"a": 0.2 * 2.5 * n, "b": 0.2 * 2.5 * n}] * 2)
    assert Counter(sides)[1] == pytest.approx(0.2 * n, abs=1)
    assert Counter(sides)[2] == pytest.approx(0.2 * n, abs=1)
