from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from swath.data.index import SCHEMA, PatchIndex
from swath.errors import DataError
from swath.training.targets import Targets, choose_targets

from .runs import small_recipe


def index_of(tmp_path, labels, splits=None):
    rows = [
        {
            "path": f"{i}.png",
            "label": label if isinstance(label, str) else None,
            "labels": None if isinstance(label, str) else list(label),
            "sha256": f"{i}",
            "split": splits[i] if splits else "train",
            "width": 8,
            "height": 8,
            "mode": "RGB",
        }
        for i, label in enumerate(labels)
    ]
    return PatchIndex(root=tmp_path, table=pa.Table.from_pylist(rows, schema=SCHEMA), name="made")


def test_three_classes_are_single_label(tmp_path):
    index = index_of(tmp_path, ["a", "b", "c", "a"])
    targets = choose_targets(index, small_recipe())
    assert targets == Targets("single-label", ("a", "b", "c"))
    assert targets.logits == 3
    assert targets.of(index).tolist() == [0, 1, 2, 0]


def test_two_classes_are_binary_and_the_rarer_one_is_looked_for(tmp_path):
    index = index_of(tmp_path, ["dump", "other", "other"])
    targets = choose_targets(index, small_recipe())
    assert targets == Targets("binary", ("other", "dump"))
    assert targets.logits == 1
    assert targets.of(index).tolist() == [1, 0, 0]


def test_patches_held_out_do_not_decide_which_is_looked_for(tmp_path):
    labels, splits = ["a", "b", "b", "a", "a"], ["train", "train", "train", "test", "test"]
    assert choose_targets(index_of(tmp_path, labels, splits), small_recipe()).classes == ("b", "a")


def test_of_two_equal_classes_the_last_is_looked_for(tmp_path):
    assert choose_targets(index_of(tmp_path, ["b", "a"]), small_recipe()).classes == ("a", "b")


def test_the_positive_class_can_be_named(tmp_path):
    index = index_of(tmp_path, ["dump", "other", "other"])
    assert choose_targets(index, small_recipe("positive=other")).classes == ("dump", "other")


def test_two_classes_stay_single_label_if_asked(tmp_path):
    index = index_of(tmp_path, ["a", "b"])
    assert choose_targets(index, small_recipe("task=single-label")).task == "single-label"


def test_several_labels_are_multi_label(tmp_path):
    index = index_of(tmp_path, [("a", "c"), (), ("b",)])
    targets = choose_targets(index, small_recipe())
    assert targets == Targets("multi-label", ("a", "b", "c"))
    assert targets.of(index).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("labels", "change", "message"),
    [
        (["a", "b", "c"], "task=binary", "takes two classes"),
        (["a", "b", "c"], "positive=a", "data binary INDEX --positive a"),
        (["a", "b"], "positive=z", "no class 'z'"),
        (["a", "b"], "task=multi-label", "one label"),
        ([("a",), ("b",)], "task=single-label", "several labels"),
        (["a", "a"], "task=auto", "one class only"),
    ],
)
def test_task_and_index_at_odds(tmp_path, labels, change, message):
    with pytest.raises(DataError, match=message):
        choose_targets(index_of(tmp_path, labels), small_recipe(change))


def test_targets_as_shares():
    classes = ("a", "b", "c")
    assert Targets("single-label", classes).shares(np.array([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert Targets("binary", classes[:2]).shares(np.array([0, 1])).tolist() == [[0], [1]]
    label_matrix = np.array([[1, 0, 1]], np.float32)
    assert Targets("multi-label", classes).shares(label_matrix) is label_matrix
