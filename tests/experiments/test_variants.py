from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import DataError
from swath.experiments.variants import subset


def paths(index, split):
    given = index.table.column("split").to_pylist()
    return {path for path, one in zip(index.paths, given, strict=True) if one == split}


def relabeled(index, splits):
    place = index.table.schema.get_field_index("split")
    return dataclasses.replace(index, table=index.table.set_column(place, "split", pa.array(splits, pa.string())))


@given(
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 50),
    evaluated=st.sampled_from(["val", "test"]),
)
def test_smaller_shares_are_parts_of_larger_ones_and_no_label_is_lent(tiny_index, shares, seed, evaluated):
    small, large = (subset(tiny_index, fraction=f, seed=seed, evaluated=evaluated) for f in sorted(shares))
    for split in ("train", "val"):
        assert paths(small, split) <= paths(large, split)
        assert paths(small, split)
    assert paths(large, "train") | paths(large, "val") <= paths(tiny_index, "train")
    assert not paths(large, "train") & paths(large, "val")
    for part in (small, large):
        assert paths(part, "test") == paths(tiny_index, evaluated)
        assert part.where("test").paths == tiny_index.where(evaluated).paths  # in order, for pairing
        for split in ("train", "val"):
            assert set(part.where(split).labels) == set(tiny_index.classes)


@given(fraction=st.floats(0.01, 1), seed=st.integers(0, 50))
def test_each_class_gives_its_share_and_the_seed_chooses_which(tiny_index, fraction, seed):
    part = subset(tiny_index, fraction=fraction, seed=seed, evaluated="val")
    used = Counter(part.where("train").labels) + Counter(part.where("val").labels)
    assert used == dict.fromkeys(tiny_index.classes, max(2, round(18 * fraction)))
    again = subset(tiny_index, fraction=fraction, seed=seed, evaluated="val")
    assert again.fingerprint == part.fingerprint


def test_another_seed_takes_other_labels(tiny_index):
    chosen = [paths(subset(tiny_index, fraction=0.3, seed=s, evaluated="val"), "train") for s in (0, 1)]
    assert chosen[0] != chosen[1]


def test_all_labels_are_used_at_most_and_a_seventh_chooses_the_epoch(tiny_index):
    part = subset(tiny_index, fraction=1, seed=0, evaluated="test")
    assert paths(part, "train") | paths(part, "val") == paths(tiny_index, "train")
    assert len(paths(part, "val")) == 4 * 3  # of 18 patches a class the 1st, 8th and 15th
    assert "100 % of the train split, seed 0, test as test" in part.split_protocol


def test_nothing_need_be_evaluated(tiny_index):
    assert not paths(subset(tiny_index, fraction=1, seed=0, evaluated=None), "test")


def test_a_class_with_one_training_patch_is_named(tiny_index):
    splits = np.array(tiny_index.table.column("split").to_pylist())
    rows = [i for i, (c, s) in enumerate(zip(tiny_index.labels, splits, strict=True)) if (c, s) == ("River", "train")]
    splits[rows[1:]] = "test"
    with pytest.raises(DataError, match="class River has one training patch"):
        subset(relabeled(tiny_index, splits.tolist()), fraction=1, seed=0, evaluated="val")
