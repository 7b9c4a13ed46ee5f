from __future__ import annotations

from pathlib import Path

import pytest

from swath.data import PatchIndex, merge_lookalikes, read_index, relabel, write_index
from swath.errors import DataError
from tests.data.makers import sets_index, table_index, tree

LABELS = ["Field"] * 4 + ["Town"] * 4 + ["Water"] * 4
SPLITS = ["train", "train", "val", "test"] * 3


@pytest.fixture
def index() -> PatchIndex:
    return table_index(LABELS, splits=SPLITS, groups=["g1", "g1"] + [None] * 10)


def review(folder: Path, *lines: str, header: str = "path,label,suggested,verdict") -> Path:
    path = folder / "review.csv"
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path


def name(row: int) -> str:
    return f"{LABELS[row]}/{LABELS[row]}_{row:04}.png"


def test_every_verdict_does_what_it_says(index, tmp_path):
    file = review(
        tmp_path,
        f"{name(0)},Field,Water,ok",
        f"{name(1)},Field,Water,relabel",
        f"{name(4)},Town,Field,drop",
        f"{name(5)},Town,Field,Water",
        f"{name(8)},Water,Field,",
        f"{name(9)},Water,Field,Water",
    )
    found = relabel(index, file)
    assert found.changed == ((name(1), "Field", "Water"), (name(5), "Town", "Water"))
    assert found.dropped == (name(4),)
    assert (found.confirmed, found.open) == (2, 1)
    after = dict(zip(found.index.paths, found.index.labels, strict=True))
    assert name(4) not in after
    assert len(after) == 11
    assert after[name(1)] == after[name(5)] == "Water"
    untouched = [row for row in range(12) if row not in (1, 4, 5)]
    assert all(after[name(row)] == LABELS[row] for row in untouched)
    kept = dict(zip(found.index.paths, found.index.table.column("split").to_pylist(), strict=True))
    assert all(kept[name(row)] == SPLITS[row] for row in range(12) if row != 4)
    assert found.index.table.column("group").to_pylist()[:2] == ["g1", "g1"]
    assert found.index.split_protocol == "2 labels changed and 1 patches dropped by review"
    assert found.index.fingerprint != index.fingerprint
    told = found.lines()
    assert told[0].startswith("2 labels changed, 1 patches dropped, 2 labels confirmed, 1 not reviewed")
    assert any("Field to Water" in line for line in told)


def test_a_review_that_changes_nothing_gives_the_same_index(index, tmp_path):
    found = relabel(index, review(tmp_path, f"{name(0)},Field,Water,ok", f"{name(1)},Field,Water,"))
    assert found.index.fingerprint == index.fingerprint
    assert found.index.split_protocol == index.split_protocol


def test_folders_with_spaces_around_their_names(tmp_path):
    spaced = table_index([" Field", " Field", "Town "])
    row = spaced.paths[0]
    made = relabel(spaced, review(tmp_path, f"{row}, Field,Town ,relabel", f"{spaced.paths[1]},Field,,ok"))
    assert made.index.labels == ["Town ", " Field", "Town "]


def test_semicolons_byte_order_mark_and_blank_lines_of_a_spreadsheet(index, tmp_path):
    path = tmp_path / "r.csv"
    text = f"rank;path;verdict\r\n1;{name(2)};Town\r\n;;\r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert relabel(index, path).changed == ((name(2), "Field", "Town"),)


def test_the_same_verdict_twice_is_no_contradiction(index, tmp_path):
    line = f"{name(0)},Field,Water,relabel"
    assert len(relabel(index, review(tmp_path, line, line)).changed) == 1


def test_a_class_that_loses_its_last_patch_in_a_split_is_told(index, tmp_path):
    found = relabel(index, review(tmp_path, f"{name(2)},Field,Water,relabel"))
    assert found.warnings == ("no patch of 'Field' is left in val",)


def test_copies_with_different_labels_are_told(tmp_path):
    index = table_index(LABELS, splits=SPLITS, contents=["aa", "aa", *(f"{i:064x}" for i in range(10))])
    found = relabel(index, review(tmp_path, f"{name(0)},Field,Town,relabel"))
    assert "1 pictures are in the index several times with different labels" in found.warnings


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["Field/none.png,Field,Water,ok"], ["line 2", "no patch 'Field/none.png'"]),
        ([f"{name(0)},Field,Water,Wtaer"], ["line 2", "'Wtaer' is not a class", "did you mean 'Water'"]),
        ([f"{name(0)},Field,Woods,relabel"], ["'Woods' is not a class"]),
        ([f"{name(0)},Field,,relabel"], ["relabel to what"]),
        ([f"{name(0)},Town,Water,ok"], ["is 'Town' in the review but 'Field' in the index"]),
        (
            [f"{name(0)},Field,Water,ok", f"{name(1)},Field,Water,ok", f"{name(0)},Field,Water,drop"],
            ["line 4 has another verdict for", name(0)],
        ),
        ([f"{name(0)},Field,Water,ok,extra"], ["line 2 has 5 values for 4 columns"]),
        ([f"{name(row)},{LABELS[row]},Water,drop" for row in range(12)], ["drops every patch"]),
        ([], ["has no rows"]),
    ],
)
def test_mistakes_in_a_review_are_named(index, tmp_path, lines, says):
    with pytest.raises(DataError) as caught:
        relabel(index, review(tmp_path, *lines))
    for part in says:
        assert part in str(caught.value)


def test_files_that_are_no_review(index, tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        relabel(index, tmp_path / "gone.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        relabel(index, tmp_path / "x.csv")
    with pytest.raises(DataError, match="no column 'verdict'"):
        relabel(index, review(tmp_path, header="path,label"))
    with pytest.raises(DataError, match="two columns 'path'"):
        relabel(index, review(tmp_path, f"{name(0)},a,ok", header="path,path,verdict"))


def test_a_class_called_like_a_verdict_is_not_guessed_at(tmp_path):
    index = table_index(["drop", "keep"] * 4)
    with pytest.raises(DataError, match="a verdict and a class as well"):
        relabel(index, review(tmp_path, f"{index.paths[1]},keep,drop,drop"))
    found = relabel(index, review(tmp_path, f"{index.paths[1]},keep,drop,relabel"))
    assert found.changed == ((index.paths[1], "keep", "drop"),)


def test_the_mended_index_is_written_and_read(tmp_path):
    from swath.data import build_index

    index = build_index(tree(tmp_path / "p", each=3))
    found = relabel(index, review(tmp_path, f"{index.paths[0]},Field,Town,relabel"))
    write_index(found.index, tmp_path / "i.parquet")
    again = read_index(tmp_path / "i.parquet")
    assert again.labels == found.index.labels
    assert again.fingerprint == found.index.fingerprint


def test_names_that_look_alike_become_one_class():
    index = table_index(["Forest"] * 3 + ["forest"] * 2 + ["River"] * 3, splits=["train", "val", "test", "train"] * 2)
    found = merge_lookalikes(index)
    assert found.index.classes == ("Forest", "River")
    assert found.index.class_counts == {"Forest": 5, "River": 3}
    assert [(before, after) for _, before, after in found.changed] == [("forest", "Forest")] * 2
    assert found.index.column("split") == index.column("split")
    assert "2 labels merged" in found.index.split_protocol
    with pytest.raises(DataError, match=r"no two classes .* look alike"):
        merge_lookalikes(found.index)


def test_names_that_look_alike_among_several_labels_become_one():
    index = sets_index([{"Sea Lake", "Sea_Lake"}, {"Sea Lake"}, set(), {"River"}])
    found = merge_lookalikes(index)
    assert found.index.label_sets == [("Sea Lake",), ("Sea Lake",), (), ("River",)]
    assert found.index.column("label") == [None] * 4
