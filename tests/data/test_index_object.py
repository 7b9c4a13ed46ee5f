from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

from swath.data import PatchIndex, build_index, read_index, write_index
from swath.data.index import class_numbers, label_matrix
from swath.errors import DataError, SettingError

from .makers import sets_index, table_index, tree


@pytest.fixture
def index() -> PatchIndex:
    return table_index(["Town", "Field", "Town", "Water"], splits=["train", "test", "val", None])


def test_it_has_a_length_rows_and_a_summary(index: PatchIndex) -> None:
    assert len(index) == 4
    rows = list(index)
    assert [row["label"] for row in rows] == index.labels
    assert rows[1]["path"] == index.paths[1]
    assert "4 patches, 3 classes" in repr(index)
    assert "1 train, 1 val, 1 test, 1 in no split" in repr(index)
    assert "no splits" in repr(table_index(["A"]))
    assert list(table_index([])) == []


def test_rows_as_pandas_and_as_arrow(index: PatchIndex) -> None:
    frame = index.to_pandas()
    assert list(frame["label"]) == index.labels
    assert index.to_table().column("label").to_pylist() == index.labels


def test_without_pandas_the_way_out_is_named(index: PatchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)

    class Table:
        def to_pandas(self):
            import pandas  # noqa: F401

    object.__setattr__(index, "table", Table())
    with pytest.raises(SettingError, match="pip install pandas"):
        index.to_pandas()


def test_columns_and_rows_are_replaced_in_a_copy(index: PatchIndex) -> None:
    made = index.with_columns({"label": ["A", "B", "A", "B"]}, split_protocol="mine")
    assert made.labels == ["A", "B", "A", "B"]
    assert made.split_protocol == "mine"
    assert made.paths == index.paths
    assert index.labels[0] == "Town"
    assert index.take([3, 0]).labels == ["Water", "Town"]


def test_labels_as_numbers(index: PatchIndex) -> None:
    assert index.targets().tolist() == [1, 0, 1, 2]
    assert index.targets(("Water", "Town", "Field")).tolist() == [1, 2, 1, 0]
    assert index.targets().dtype == np.int64
    assert index.targets(multi_label=True).tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(DataError, match="'Water' is not among"):
        index.targets(("Town", "Field"))


def test_several_labels_as_a_matrix() -> None:
    index = sets_index([{"a", "b"}, set(), {"c"}])
    assert index.targets().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert index.targets(("c", "b", "a")).dtype == np.float32
    with pytest.raises(DataError, match="no single label"):
        index.targets(multi_label=False)
    with pytest.raises(DataError, match="'c' is not among"):
        index.targets(("a", "b"))


def test_names_as_numbers_without_an_index() -> None:
    assert class_numbers(["b", "a"], ("a", "b")).tolist() == [1, 0]
    assert label_matrix([("b",), ()], ("a", "b")).tolist() == [[0, 1], [0, 0]]


def test_paths_of_files_may_be_text(tmp_path: Path) -> None:
    index = build_index(str(tree(tmp_path / "in")))
    write_index(index, str(tmp_path / "in.parquet"))
    assert read_index(str(tmp_path / "in.parquet")).fingerprint == index.fingerprint


@pytest.mark.parametrize("name", ["index", "sources", "splits"])
def test_examples_in_the_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"swath.data.{name}"))
    assert found.attempted
    assert not found.failed
