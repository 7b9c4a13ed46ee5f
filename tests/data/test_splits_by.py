from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import build_index, split_index
from swath.data.spatial import block_names
from swath.data.splits import missing_classes
from swath.errors import DataError, SettingError

from .makers import encoded, picture, table_index, write
from .test_spatial import with_columns
from .test_splits import UNKNOWN, splits_of

PROPERTY = settings(max_examples=40)


def placed(n, seed, *, spread=1.0, groups=None):
    """Two classes scattered over a degree or so."""
    rng = np.random.default_rng(seed)
    index = table_index(["A", "B"] * n, groups=groups)
    places = rng.uniform(0, spread, (2, 2 * n))
    return with_columns(index, lon=(10 + places[0]).tolist(), lat=(45 + places[1]).tolist())


@given(st.integers(0, 10_000), st.sampled_from([5.0, 10.0]), st.sampled_from([None, 3]))
@PROPERTY
def test_no_block_crosses_a_split_and_copies_stay_together(seed, km, folds):
    groups = ["copy", "copy", *[None] * 298]
    index = placed(150, seed, groups=groups)
    made = split_index(index, by="block", block_km=km, folds=folds, seed=seed)
    sides = defaultdict(set)
    blocks = block_names(index.table["lon"].to_pylist(), index.table["lat"].to_pylist(), km=km)
    for block, side in zip(blocks, splits_of(made), strict=True):
        sides[block].add(side)
    assert all(len(found) == 1 for found in sides.values())
    assert splits_of(made)[0] == splits_of(made)[1]
    assert set(splits_of(made)) == {"train", "val", "test"}
    assert made.table["group"].to_pylist() == groups


def test_the_protocol_tells_blocks_from_chance():
    index = placed(150, 1)
    blocks = split_index(index, by="block", block_km=10)
    assert blocks.split_protocol == (
        "val and test drawn (20 % and 20 % of each class, blocks of 10 km kept whole, seed 0)"
    )
    chance = split_index(index, by="random")
    assert "optimistic: 100 % of held-out patches lie within 10 km of a training patch" in chance.split_protocol
    folded = split_index(index, by="random", folds=5, fold=1)
    assert folded.split_protocol.startswith("test is fold 1 of 5")
    assert "optimistic" in folded.split_protocol


def test_blocks_for_the_test_and_chance_for_val_is_still_optimistic():
    index = placed(150, 1)
    blocks = split_index(index, by="block", block_km=10, val=0)
    assert "optimistic" not in blocks.split_protocol
    both = split_index(blocks, val=0.2)
    assert "km kept whole" in both.split_protocol
    assert "optimistic" in both.split_protocol


def test_a_fold_of_no_folds_is_refused():
    with pytest.raises(SettingError, match="--folds 5"):
        split_index(table_index(["A", "B"] * 30), fold=2)


def test_a_random_split_of_far_places_is_not_called_optimistic():
    index = table_index(["A", "B"] * 30)
    far = with_columns(index, lon=[3.0 * k - 90 for k in range(60)], lat=[0.0] * 60)
    assert "optimistic" not in split_index(far).split_protocol


def test_kept_splits_that_cut_a_block_are_refused_with_a_way_out():
    index = placed(20, 0, spread=0.001)
    given_splits = replace(split_index(index), split_protocol="mine")
    with pytest.raises(DataError, match="several splits already") as caught:
        split_index(given_splits, by="block")
    assert "--resplit" in caught.value.fix


def test_scenes_stay_whole():
    index = table_index(["A", "B"] * 50, groups=[f"scene{k // 4}" for k in range(100)])
    made = split_index(index, by="group")
    sides = defaultdict(set)
    for group, side in zip(index.table["group"].to_pylist(), splits_of(made), strict=True):
        sides[group].add(side)
    assert all(len(found) == 1 for found in sides.values())


def test_an_unknown_way_and_missing_scenes_or_places():
    index = table_index(["A"] * 9 + ["B"] * 9)
    with pytest.raises(SettingError, match="--by from auto, group, scene, block, random"):
        split_index(index, by="tile")
    with pytest.raises(DataError, match=r"such as A/A_0000\.png, say nothing of scenes") as caught:
        split_index(index, by="scene")
    assert "--group-by" in caught.value.fix
    with pytest.raises(DataError, match=r"16 of 18 patches .* in no group"):
        split_index(table_index(index.labels, groups=["g", "g", *[None] * 16]), by="group")
    with pytest.raises(DataError, match="no coordinates"):
        split_index(index, by="block")


def auto_index(name, *, n=120, groups=None):
    index = table_index(["A", "B"] * (n // 2), groups=groups)
    return index.with_columns({"path": [name.format(label="AB"[k % 2], s=k // 10, k=k) for k in range(n)]})


def test_auto_takes_the_safest_way_the_data_allow():
    scenes = [f"s{k // 10}" for k in range(120)]
    named = auto_index("{label}/scene{s:02}_{k}_0.png")
    spread = with_columns(named, lon=[10 + 0.5 * (k // 10) for k in range(120)], lat=[45.0] * 120)
    grouped = spread.with_columns({"group": scenes})
    for index, said in (
        (grouped, "groups kept whole"),
        (spread, "blocks of 10 km kept whole"),
        (named, r"12 scenes by '(?i)(scene[_-]?\d+)[_/-]' kept whole"),
        (auto_index("{label}/{k:04}.png"), f"groups kept whole, seed 0); {UNKNOWN}"),
    ):
        made = split_index(index)
        assert said in made.split_protocol
        assert {*splits_of(made)} == {"train", "val", "test"}
    for index in (grouped, spread, named):
        sides = defaultdict(set)
        for scene, side in zip(scenes, splits_of(split_index(index)), strict=True):
            sides[scene].add(side)
        assert all(len(found) == 1 for found in sides.values())


def test_auto_applies_doubtful_names_to_nothing_and_says_what_they_show():
    cities = [f"{'abcdefghijkl'[k // 10]}town" for k in range(120)]
    index = auto_index("x{k}").with_columns({"path": [f"{'AB'[k % 2]}/{c}{k:03}.png" for k, c in enumerate(cities)]})
    made = split_index(index)
    assert "12 of 12 stems, by the names of patches, are in several splits" in made.split_protocol
    whole = split_index(index, by="scene")
    assert "in several splits" not in whole.split_protocol
    assert split_index(index, group_by=r"/([a-z]+)").column("group") == cities


def test_auto_leaves_given_splits_alone():
    index = auto_index("{label}/scene{s:02}_{k}_0.png").with_columns(
        {"split": ["train", "train", "train", "test"] * 30}
    )
    made = split_index(index)
    assert all((a == "test") == (b == "test") for a, b in zip(splits_of(index), splits_of(made), strict=True))
    assert "val" in splits_of(made)


def test_auto_gives_way_where_blocks_would_leave_a_class_out():
    index = with_columns(
        table_index(["A"] * 60 + ["B"] * 30),
        lon=[10 + 0.5 * (k // 5) for k in range(60)] + [30.0] * 30,
        lat=[45.0] * 90,
    )
    assert missing_classes(split_index(index, by="block")) == [("B", "val"), ("B", "test")]
    made = split_index(index)
    assert missing_classes(made) == []
    assert "optimistic" in made.split_protocol


def test_a_label_is_added_once():
    once = split_index(placed(30, 2), by="random")
    assert once.split_protocol.count("optimistic") == 1
    assert split_index(once) == once


def test_val_is_cut_from_a_published_train_list_alone(tmp_path):
    """Copies on both lists, as published lists have them, stay where they are; copies on one stay together."""
    lists = {"train": [], "test": []}
    for label, start in (("A", 0), ("B", 100)):
        for n in range(20):
            side = "train" if n < 14 else "test"
            write(tmp_path / label / f"{n}.png", encoded(picture(start + n, size=32)))
            lists[side].append(f"{label}/{n}.png")
    for n, side in ((0, "test"), (1, "train")):
        write(tmp_path / "A" / f"again{n}.png", encoded(picture(n, size=32).point(lambda v: min(v + 2, 255))))
        lists[side].append(f"A/again{n}.png")
    named = {side: write(tmp_path / f"{side}.csv", "\n".join(rows).encode()) for side, rows in lists.items()}
    listed = split_index(build_index(tmp_path), lists=named)
    assert listed.split_counts == {"train": 29, "test": 13}
    made = split_index(build_index(tmp_path), lists=named, val=0.3, seed=2)
    after = dict(zip(made.paths, splits_of(made), strict=True))
    assert all(after[path] == "test" for path in lists["test"])
    assert {after[path] for path in lists["train"]} == {"train", "val"}
    assert after["A/1.png"] == after["A/again1.png"]
    assert len(made.where("val")) == pytest.approx(0.3 * 29, abs=2)
    assert made.split_protocol.endswith(
        f"; val drawn from train (30 % of each class, groups kept whole, seed 2); {UNKNOWN}"
    )
    with pytest.raises(SettingError, match="there is a val split already"):
        split_index(build_index(tmp_path), lists={"train": named["train"], "val": named["test"]}, val=0.3)
    with pytest.raises(SettingError, match="give --val"):
        split_index(build_index(tmp_path), lists=named, val=0)


@pytest.mark.parametrize(
    "wrong", [{"folds": 5}, {"fold": 1}, {"by": "group"}, {"test": 0.1}], ids=lambda wrong: next(iter(wrong))
)
def test_lists_go_with_no_other_way_to_split(wrong, tmp_path):
    with pytest.raises(SettingError, match=f"leave .*--{next(iter(wrong))}"):
        split_index(table_index(["A"] * 9), lists={"train": tmp_path / "train.csv"}, **wrong)


def test_a_fold_is_the_whole_test():
    with pytest.raises(SettingError, match="leave --test out"):
        split_index(table_index(["A"] * 9), folds=3, test=0.2)
