from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from swath.data import binary_index, read_index, split_index, write_index
from swath.errors import DataError, SettingError

from .makers import sets_index, table_index


def sides(index) -> Counter:
    return Counter(zip(index.table["split"].to_pylist(), index.labels, strict=True))


@pytest.fixture
def index():
    sizes = {"River": 20, "Forest": 100, "Crop": 60, "Lake": 40}
    return split_index(table_index([label for label, n in sizes.items() for _ in range(n)]))


def test_every_patch_is_the_class_or_not(index):
    made = binary_index(index, "River")
    assert made.classes == ("River", "not River")
    assert made.paths == index.paths
    expected = [label if label == "River" else "not River" for label in index.labels]
    assert made.labels == expected
    for name in ("split", "group", "sha256"):
        assert made.table[name].equals(index.table[name])
    assert made.fingerprint != index.fingerprint


def test_the_ratio_is_the_same_in_every_split_and_classes_keep_their_shares(index):
    made = binary_index(index, "River", negatives_per_positive=5)
    found = sides(made)
    for split in ("train", "val", "test"):
        assert found[split, "not River"] == 5 * found[split, "River"]
    assert sum(n for (_, label), n in found.items() if label == "River") == 20
    given = dict(zip(index.paths, index.labels, strict=True))
    kept = Counter(given[path] for path in made.paths)
    assert kept["Forest"] == pytest.approx(50, abs=2)
    assert kept["Crop"] == pytest.approx(30, abs=2)


def test_where_others_are_too_few_positives_are_left_out(index):
    made = binary_index(index, "Forest", negatives_per_positive=10)
    found = sides(made)
    for split in ("train", "val", "test"):
        assert found[split, "not Forest"] == 10 * found[split, "Forest"] > 0
    assert found["train", "not Forest"] > 65  # of 72


def test_the_draw_depends_on_the_seed_only(index):
    one, two = (binary_index(index, "River", negatives_per_positive=3, seed=1) for _ in range(2))
    assert one.paths == two.paths
    assert one.paths != binary_index(index, "River", negatives_per_positive=3, seed=2).paths


def test_a_patch_with_the_class_among_several_labels_is_positive():
    index = sets_index([("a",), ("a", "b"), (), ("c", "b")] * 3)
    made = binary_index(index, "b")
    assert made.labels == ["not b", "b", "not b", "b"] * 3
    assert not made.multi_label


def test_it_survives_writing(index, tmp_path):
    made = replace(binary_index(index, "River", negatives_per_positive=2), root=tmp_path)
    write_index(made, tmp_path / "b.parquet")
    again = read_index(tmp_path / "b.parquet")
    assert again.fingerprint == made.fingerprint
    assert "River against the rest; 2 others per positive drawn, seed 0" in again.split_protocol


def test_what_cannot_be_made_is_refused(index):
    with pytest.raises(DataError, match="no class 'Rivers'"):
        binary_index(index, "Rivers")
    with pytest.raises(SettingError, match="above 0"):
        binary_index(index, "River", negatives_per_positive=0)
    with pytest.raises(DataError, match="fewer than the 1000 asked for per positive"):
        binary_index(index, "River", negatives_per_positive=1000)
    with pytest.raises(DataError, match="has a class 'not River' already"):
        binary_index(binary_index(index, "River"), "River")
    with pytest.raises(DataError, match="every patch of index"):
        binary_index(sets_index([("a", "b"), ("a",)]), "a")


def test_a_split_without_negatives_is_refused():
    index = table_index(["River", "Lake"] * 6, splits=["train"] * 8 + ["val"] * 4)
    with pytest.raises(DataError, match=r"0\.2 negatives per positive leave split 'val' without any"):
        binary_index(index, "River", negatives_per_positive=0.2)


def test_a_split_without_positives_is_not_dropped_in_silence():
    index = table_index(["River", "Lake"] * 4 + ["Lake"] * 4, splits=["train"] * 8 + ["test"] * 4)
    with pytest.raises(DataError, match="split 'test' has no positive patch"):
        binary_index(index, "River", negatives_per_positive=1)
    assert len(binary_index(index, "River")) == 12
