from __future__ import annotations

from swath.datareport.facts import pooled


def test_rare_names_are_joined():
    labels = ["a"] * 9 + ["b"] * 2 + ["c"] * 2
    assert pooled(labels) == ["a"] * 9 + ["(rare)"] * 4
    assert pooled(["a"] * 9 + ["b"]) == ["a"] * 9 + ["b"]


def test_where_all_names_are_rare_the_commonest_are_kept():
    few = ["a"] * 4 + ["b"] * 4
    assert pooled(few) == few
    many = [f"c{k // 4}" for k in range(400)]
    assert len(set(pooled(many))) == 51
