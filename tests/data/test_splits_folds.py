from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.splits import fold_index
from swath.errors import DataError, SettingError

from .makers import sets_index, table_index
from .test_splits import grouped, splits_of

PROPERTY = settings(max_examples=40)


@given(grouped(), st.integers(2, 5), st.integers(0, 9))
@PROPERTY
def test_every_patch_is_tested_exactly_once_and_groups_stay_whole(data, folds, seed):
    labels, groups = data
    index = table_index(labels, groups=groups)
    made = [fold_index(index, folds=folds, fold=k, val=0.15, seed=seed) for k in range(folds)]
    tested = Counter(row for part in made for row, s in enumerate(splits_of(part)) if s == "test")
    assert tested == dict.fromkeys(range(len(labels)), 1)
    for part in made:
        sides = defaultdict(set)
        for group, side in zip(groups, splits_of(part), strict=True):
            sides[group].add(side)
        assert all(len(found) == 1 for group, found in sides.items() if group)


@given(st.integers(10, 60), st.integers(10, 60), st.integers(2, 5))
@PROPERTY
def test_folds_hold_each_class_to_within_one_patch(a, b, folds):
    index = table_index(["A"] * a + ["B"] * b)
    for k in range(folds):
        made = fold_index(index, folds=folds, fold=k, val=0.0)
        counts = Counter(label for label, s in zip(index.labels, splits_of(made), strict=True) if s == "test")
        assert abs(counts["A"] - a / folds) < 1
        assert abs(counts["B"] - b / folds) < 1


def test_the_protocol_says_which_fold():
    made = fold_index(table_index(["A"] * 20 + ["B"] * 20), folds=4, fold=2, val=0.25, seed=3)
    assert made.split_counts == {"train": 22, "val": 8, "test": 10}
    assert made.split_protocol == (
        "test is fold 2 of 4 (numbered from 0, groups kept whole, seed 3); val drawn from the rest "
        "(25 % of each class, groups kept whole, seed 3)"
    )


def test_another_seed_gives_another_division():
    index = table_index(["A"] * 30 + ["B"] * 30)
    assert splits_of(fold_index(index, seed=1)) != splits_of(fold_index(index, seed=2))


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (101, 0), (5, 5), (5, -1)])
def test_folds_that_there_are_not(folds, fold):
    with pytest.raises(SettingError):
        fold_index(table_index(["A"] * 9 + ["B"] * 9), folds=folds, fold=fold)


def test_a_class_with_fewer_groups_than_folds_is_named():
    with pytest.raises(DataError, match="class 'B' has too few groups of patches for 5 folds") as caught:
        fold_index(table_index(["A"] * 20 + ["B"] * 8, groups=[*[None] * 20, *["b1"] * 4, *["b2"] * 4]), folds=5)
    assert "--folds 2" in caught.value.fix


@pytest.mark.parametrize("seed", range(12))
def test_scenes_of_mixed_classes_fill_every_fold(seed):
    """Twelve scenes, each with most of its patches in one of five classes; every class lies in five scenes at least."""
    random = np.random.default_rng(seed)
    labels, groups = [], []
    for scene in range(12):
        shares = random.dirichlet([0.5] * 5)
        own = [f"c{k}" for k in random.choice(5, 12, p=shares)] + [f"c{(scene + k) % 5}" for k in range(3)]
        labels += own
        groups += [f"s{scene}"] * len(own)
    made = fold_index(table_index(labels, groups=groups), folds=5, val=0.0)
    tested = {label for label, side in zip(labels, splits_of(made), strict=True) if side == "test"}
    assert tested == set(labels)


def test_patches_of_several_labels_are_shared_out():
    index = sets_index([("a", "b"), ("a",), (), ("b",)] * 12)
    made = [fold_index(index, folds=4, fold=k, val=0.0) for k in range(4)]
    for label in "ab":
        tested = [
            sum(label in labels for labels, s in zip(index.label_sets, splits_of(m), strict=True) if s == "test")
            for m in made
        ]
        assert sum(tested) == 24
        assert min(tested) >= 5
