"""Legends of groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.assessment.legend import group_order, grouped, read_legend
from swath.errors import SettingError


def test_a_legend_joins_names_and_values(tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("trees: [Forest, 10]\nwater:\n  - River\n  - Sea Lake\n  - 80\n")
    groups = read_legend(path)
    assert groups == {"Forest": "trees", "10": "trees", "River": "water", "Sea Lake": "water", "80": "water"}
    assert grouped("10", groups) == "trees"
    assert grouped("Town", groups) is None
    assert grouped("Town", None) == "Town"
    assert group_order(groups, ["b"]) == ["trees", "water"]
    assert group_order(None, ["b", "a", "b"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trees: Forest\n", r"write it as trees: \[Forest, 10\]"),
        ("trees: []\n", "no list of classes"),
        ("trees: [[1]]\n", "no list of classes"),
        ("trees: [Forest]\nother: [Forest]\n", "'Forest' is in the groups 'trees' and 'other'"),
        ("{}\n", "holds no group"),
        ("- Forest\n", "name: value"),
        ("trees: [Forest\n", "not valid YAML"),
    ],
)
def test_legends_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=words):
        read_legend(path)
