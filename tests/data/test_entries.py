from __future__ import annotations

import pytest

from swath.data.entries import Entry, entries_from_csv, entries_from_tree
from swath.errors import DataError


def rows(names):
    return {entry.path: (entry.label, entry.split) for entry in entries_from_tree(names, where="src").rows}


def csv_rows(text, folder=""):
    return entries_from_csv(text, folder=folder, where="t.csv").rows


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Town/1.jpg", "Sea/deep/2.png"], {"Town/1.jpg": ("Town", None), "Sea/deep/2.png": ("Sea", None)}),
        (["set/Town/1.jpg", "set/Sea/2.jpg"], {"set/Town/1.jpg": ("Town", None), "set/Sea/2.jpg": ("Sea", None)}),
        (["train/A/1.jpg", "Test/B/2.jpg"], {"train/A/1.jpg": ("A", "train"), "Test/B/2.jpg": ("B", "test")}),
        (["s/valid/A/1.jpg", "s/train/B/2.jpg"], {"s/valid/A/1.jpg": ("A", "val"), "s/train/B/2.jpg": ("B", "train")}),
    ],
    ids=["classes", "wrapped", "splits", "wrapped splits"],
)  # fmt: skip
def test_labels_and_splits_come_from_folders(names, expected):
    assert rows(names) == expected


def test_one_class_folder_is_a_class_not_a_wrapping():
    assert rows(["Town/1.jpg", "Town/2.jpg"]) == {"Town/1.jpg": ("Town", None), "Town/2.jpg": ("Town", None)}


def test_files_of_unknown_kind_are_counted_and_companions_are_not():
    entries = entries_from_tree(["A/1.jpg", "B/2.jpg", "A/3.mat", "x.bin", "README.md", "A/4.json"], where="src")
    assert len(entries.rows) == 2
    assert entries.ignored == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images"),
        (["notes.txt", "A/data.mat"], "holds no images"),
        (["1.jpg", "A/2.jpg"], r"1\.jpg lies in no class folder"),
        (["train/1.jpg", "test/A/2.jpg"], r"train/1\.jpg lies in no class folder"),
        (["train/A/1.jpg", "Town/2.jpg"], r"split folders \(train\) next to others \(Town\)"),
    ],
)
def test_trees_that_cannot_be_read(names, message):
    with pytest.raises(DataError, match=message):
        entries_from_tree(names, where="src")


def test_all_columns_of_a_csv():
    text = "path,label,split,group,lon,lat\na.jpg,Town,Validation,g1,10.5,-33\nsub/b.jpg,Sea,,,,\n"
    assert csv_rows(text, folder="in") == (
        Entry("in/a.jpg", "Town", "val", "g1", 10.5, -33.0),
        Entry("in/sub/b.jpg", "Sea"),
    )


def test_columns_may_come_in_any_order_with_spaces_and_quotes():
    assert csv_rows('label, path\n"Town, old", ./a.jpg\n\n') == (Entry("a.jpg", "Town, old"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("path,label\n", "lists no images"),
        ("path,label,color\na,b,c\n", "unknown column 'color'"),
        ("label\nx\n", "no column 'path'"),
        ("path,label,label\na,b,c\n", "names a column twice"),
        ("path,label\na.jpg\n", "line 2 has 1 values for 2 columns"),
        ("path,label\na.jpg,\n", "line 2: the label is empty"),
        ("path,label\n../a.jpg,A\n", "leads outside"),
        ("path,label\n/a.jpg,A\n", "leads outside"),
        ("path,label\n,A\n", "is empty or leads outside"),
        ("path,label\na.jpg,A\n./a.jpg,B\n", r"line 3 names a\.jpg a second time"),
        ("path,label,split\na.jpg,A,holdout\n", "unknown split 'holdout'"),
        ("path,label,lon,lat\na.jpg,A,200,0\n", "lon '200' is not"),
        ("path,label,lon,lat\na.jpg,A,0,nan\n", "lat 'nan' is not"),
        ("path,label,lon,lat\na.jpg,A,0,\n", "go together"),
        ("path,label,lon,lat\na.jpg,A,east,0\n", "lon 'east' is not"),
        ('path,label\n"a.jpg"x,A\n', "not valid CSV"),
    ],
)
def test_csvs_that_cannot_be_read(text, message):
    with pytest.raises(DataError, match=message):
        csv_rows(text)


def test_a_column_of_several_labels_is_read():
    text = "path,labels,split\na.png,water;trees,train\nb.png, trees | cars |trees,\nc.png,,val\nd.png,cars,\n"
    rows = entries_from_csv(text, folder="", where="l.csv").rows
    assert [row.labels for row in rows] == [("trees", "water"), ("cars", "trees"), (), ("cars",)]
    assert [row.label for row in rows] == [None] * 4
    assert rows[2].split == "val"


def test_a_column_of_one_label_is_never_taken_apart():
    (row,) = entries_from_csv("path,label\na.png,sand;gravel\n", folder="", where="l.csv").rows
    assert (row.label, row.labels) == ("sand;gravel", None)


def test_one_label_and_several_do_not_go_together():
    with pytest.raises(DataError, match="a column 'label' and a column 'labels'"):
        entries_from_csv("path,label,labels\na.png,x,y\n", folder="", where="l.csv")
