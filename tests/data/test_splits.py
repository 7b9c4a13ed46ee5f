from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import PatchIndex, split_index
from swath.data.splits import missing_classes, split_gaps
from swath.errors import DataError, SettingError

from .makers import sets_index, table_index, write

PROPERTY = settings(max_examples=50)
UNKNOWN = "nothing is known of where these patches come from: the score may be far too high"


def splits_of(index):
    return index.table.column("split").to_pylist()


@st.composite
def grouped(draw):
    """Labels and groups: each class has 6 to 30 patches in groups of one class, or alone."""
    labels, groups = [], []
    for label in "ABC"[: draw(st.integers(2, 3))]:
        sizes = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=6, max_size=14))
        for k, size in enumerate(sizes):
            labels += [label] * size
            groups += [f"{label}{k}" if size > 1 else None] * size
    return labels, groups


shares = st.tuples(st.sampled_from([0.1, 0.2, 0.33]), st.sampled_from([0.1, 0.2, 0.33]))


@given(grouped(), shares, st.integers(0, 99))
@PROPERTY
def test_every_patch_gets_one_split_and_groups_stay_whole(data, share, seed):
    labels, groups = data
    index = split_index(table_index(labels, groups=groups), val=share[0], test=share[1], seed=seed)
    splits = splits_of(index)
    assert set(splits) == {"train", "val", "test"}
    sides = defaultdict(set)
    for group, side in zip(groups, splits, strict=True):
        if group:
            sides[group].add(side)
    assert all(len(side) == 1 for side in sides.values())


@given(grouped(), shares, st.integers(0, 99))
@PROPERTY
def test_each_class_is_shared_out_to_within_one_group(data, share, seed):
    labels, groups = data
    index = split_index(table_index(labels, groups=groups), val=share[0], test=share[1], seed=seed)
    counts = Counter(zip(labels, splits_of(index), strict=True))
    largest = Counter(group for group in groups if group).most_common(1)
    slack = largest[0][1] if largest else 1
    for label, n in Counter(labels).items():
        for side, wanted in zip(("val", "test"), share, strict=True):
            assert abs(counts[label, side] - wanted * n) <= slack
            assert counts[label, side] > 0
        assert counts[label, "train"] > 0


@given(grouped(), st.integers(0, 99), st.randoms(use_true_random=False))
@PROPERTY
def test_the_outcome_depends_on_paths_and_seed_not_on_the_order_of_rows(data, seed, random):
    index = table_index(data[0], groups=data[1])
    order = list(range(len(index)))
    random.shuffle(order)
    turned = replace(index, table=index.table.take(order))
    one, two = split_index(index, seed=seed), split_index(turned, seed=seed)
    assert dict(zip(one.paths, splits_of(one), strict=True)) == dict(zip(two.paths, splits_of(two), strict=True))


def test_another_seed_gives_another_split():
    index = table_index(["A"] * 50 + ["B"] * 50)
    assert splits_of(split_index(index, seed=1)) == splits_of(split_index(index, seed=1))
    assert splits_of(split_index(index, seed=1)) != splits_of(split_index(index, seed=2))


def test_plain_patches_are_shared_out_exactly():
    index = split_index(table_index(["A"] * 50 + ["B"] * 20), val=0.1, test=0.3)
    assert Counter(zip(index.labels, splits_of(index), strict=True)) == {
        ("A", "train"): 30, ("A", "val"): 5, ("A", "test"): 15,
        ("B", "train"): 12, ("B", "val"): 2, ("B", "test"): 6,
    }  # fmt: skip
    assert index.split_protocol == (
        f"val and test drawn (10 % and 30 % of each class, groups kept whole, seed 0); {UNKNOWN}"
    )


def test_three_patches_a_class_are_enough():
    index = split_index(table_index(["A"] * 3 + ["B"] * 3))
    assert Counter(zip(index.labels, splits_of(index), strict=True)) == {
        (label, side): 1 for label in "AB" for side in ("train", "val", "test")
    }


def test_a_share_of_nothing_makes_no_split():
    index = split_index(table_index(["A"] * 10 + ["B"] * 10), val=0)
    assert index.split_counts == {"train": 16, "test": 4}
    assert index.split_protocol == f"test drawn (20 % of each class, groups kept whole, seed 0); {UNKNOWN}"
    whole = split_index(table_index(["A"] * 3), val=0, test=0)
    assert (whole.split_counts, whole.split_protocol) == ({"train": 3}, "all in train")


def test_a_given_test_split_stays_and_val_is_cut_from_train():
    given_splits = (["train"] * 8 + ["test"] * 2) * 2
    index = replace(table_index(["A"] * 10 + ["B"] * 10, splits=given_splits), split_protocol="as the source gives it")
    made = split_index(index)
    assert made.split_counts == {"train": 12, "val": 4, "test": 4}
    assert [s for s, g in zip(splits_of(made), given_splits, strict=True) if g == "test"] == ["test"] * 4
    assert made.split_protocol == (
        "test as the source gives it; val drawn from the rest (20 % of each class, groups kept whole, seed 0); "
        + UNKNOWN
    )


def test_complete_splits_are_left_alone_and_their_protocol_too():
    index = replace(
        table_index(["A", "A", "A", "B", "B", "B"], splits=["train", "val", "test"] * 2), split_protocol="theirs"
    )
    same = split_index(index, val=0.4, test=0.4, seed=9)
    assert same == replace(index, split_protocol=f"theirs; {UNKNOWN}")
    assert split_index(same) == same
    new_modules = split_index(index, keep=False)
    assert new_modules.split_protocol.startswith("val and test drawn")


def test_rows_without_a_split_join_train_where_val_and_test_are_given():
    index = table_index(["A"] * 4 + ["B"] * 4, splits=[None, "train", "val", "test"] * 2)
    made = split_index(index)
    assert splits_of(made) == ["train", "train", "val", "test"] * 2
    assert made.split_protocol == f"train, val, test as given; the rest in train; {UNKNOWN}"


def test_a_patch_without_a_split_goes_where_its_group_is():
    groups = ["g", "g", *[None] * 18]
    index = table_index(["A"] * 10 + ["B"] * 10, groups=groups, splits=["test", None, *[None] * 8, "test", *[None] * 9])
    assert splits_of(split_index(index))[:2] == ["test", "test"]


def test_a_group_in_two_given_splits_is_refused_with_a_way_out():
    index = table_index(["A"] * 5 + ["B"] * 5, groups=["g", "g", *[None] * 8], splits=["train", "test"] * 5)
    with pytest.raises(DataError, match="one group lie in several splits") as caught:
        split_index(index)
    assert "--resplit" in caught.value.fix
    assert len(set(splits_of(split_index(index, keep=False))[:2])) == 1


def test_a_published_test_that_is_most_of_a_set_leaves_something_to_train_on():
    index = table_index(["A", "B"] * 50, splits=["train"] * 20 + ["test"] * 80)
    assert Counter(splits_of(split_index(index, val=0.2))) == {"train": 16, "val": 4, "test": 80}


def test_a_class_of_one_group_stays_in_train_and_the_others_are_shared_out():
    index = table_index(["A"] * 9 + ["B"] * 9, groups=["a", "a2", *["a3"] * 7, *["b"] * 9])
    made = split_index(index)
    sides = set(zip(index.labels, splits_of(made), strict=True))
    assert sides == {("A", "train"), ("A", "val"), ("A", "test"), ("B", "train")}
    assert missing_classes(made) == [("B", "val"), ("B", "test")]
    assert split_gaps(made) == (
        "val and test have no patch of 'B', all of which are in one group, 'b': add patches of other scenes or "
        "places, or leave the class out",
    )


def test_fewer_groups_than_splits_are_refused_with_a_way_out():
    index = table_index(["A", "B"] * 20, groups=["one", "two"] * 20)
    with pytest.raises(DataError, match=r"2 groups that must stay whole, too few to fill train, test, val") as caught:
        split_index(index)
    assert "--val 0" in caught.value.fix
    assert split_index(index.with_columns({"label": ["A"] * 40}), val=0).split_counts == {"train": 20, "test": 20}


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_a_few_scenes_of_many_classes_are_shared_out_whole_whatever_their_order(seed, scenes, classes):
    """Classes live in some scenes only, so that shares cannot be met; train has every class all the same."""
    rng = np.random.default_rng(seed)
    lives = [rng.choice(scenes, rng.integers(1, scenes + 1), replace=False) for _ in range(classes)]
    rows = [(f"c{k}", f"s{s}") for k in range(classes) for s in lives[k] for _ in range(int(rng.integers(1, 9)))]
    rows += [("c0", f"s{s}") for s in range(scenes)]
    index = table_index([label for label, _ in rows], groups=[scene for _, scene in rows])
    made = split_index(index, seed=seed)
    assert set(made.split_counts) == {"train", "val", "test"}
    sides = {}
    for (_, scene), side in zip(rows, splits_of(made), strict=True):
        assert sides.setdefault(scene, side) == side
    order = rng.permutation(len(rows)).tolist()
    again = split_index(index.take(order), seed=seed)
    assert splits_of(again) == [splits_of(made)[row] for row in order]
    if scenes <= 6:  # of all ways that fill every split, none loses fewer classes of train
        ways = [way for way in itertools.product(range(3), repeat=scenes) if set(way) == {0, 1, 2}]
        best = min(sum(all(way[scene] for scene in places) for places in lives[1:]) for way in ways)
        assert sum(side == "train" for _, side in missing_classes(made)) == best


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (-0.1, 0.2), (1.0, 0.0), (0.2, float("nan"))])
def test_shares_that_make_no_sense(val, test):
    with pytest.raises(SettingError, match="leave nothing to train on"):
        split_index(table_index(["A"] * 9), val=val, test=test)


def test_lists_replace_the_splits_and_name_themselves(tmp_path):
    index = table_index(["A", "A", "B"], splits=["test"] * 3)
    lists = {
        "train": write(tmp_path / "mine_train.csv", b"A_0000.png\n"),
        "test": write(tmp_path / "mine_test.csv", b"B_0002.png\n"),
    }
    made = split_index(index, lists=lists)
    assert splits_of(made) == ["train", None, "test"]
    assert made.split_protocol == f"from lists (train from mine_train.csv, test from mine_test.csv); {UNKNOWN}"


def several_labels(n: int = 600, *, seed: int = 0) -> PatchIndex:
    """Common and rare labels, of which some come together, and patches without any."""
    random = np.random.default_rng(seed)
    shares = {"trees": 0.6, "grass": 0.4, "cars": 0.15, "water": 0.05, "ship": 0.01}
    sets = []
    for _ in range(n):
        labels = {name for name, share in shares.items() if random.random() < share}
        sets.append(tuple(sorted(labels | {"water"} if "ship" in labels else labels)))
    return sets_index(sets)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_label_is_shared_out_as_asked(seed):
    index = several_labels(seed=seed)
    split = split_index(index, val=0.2, test=0.2, seed=seed)
    whole = Counter(label for labels in index.label_sets for label in labels or ("",))
    for side in ("val", "test"):
        part = split.where(side)
        assert len(part) == pytest.approx(0.2 * len(index), abs=0.02 * len(index))
        found = Counter(label for labels in part.label_sets for label in labels or ("",))
        for label, n in whole.items():
            assert found[label] > 0, (label, side)
            assert found[label] == pytest.approx(0.2 * n, abs=max(1.5, 0.04 * n)), (label, side)
    assert split.label_sets == index.label_sets


def test_splits_of_lists_of_labels_do_not_depend_on_the_order_of_rows():
    index = several_labels()
    order = np.random.default_rng(3).permutation(len(index))
    shuffled = replace(index, table=index.table.take(pa.array(order)))
    one, two = (
        dict(zip(made.paths, made.table["split"].to_pylist(), strict=True))
        for made in (split_index(index), split_index(shuffled))
    )
    assert one == two


@pytest.mark.parametrize("splits", [["val"] * 4, ["test"] * 4, ["train", "train", "val", "val"]])
def test_patches_that_are_all_held_out_leave_none_to_share(splits):
    index = table_index(["A", "B", "A", "B"], splits=splits)
    if "train" in splits:
        assert split_index(index, test=0).column("split") == splits
        return
    with pytest.raises(DataError, match=r"all patches of index 'paper' are in (val|test) already.*--resplit"):
        split_index(index)
