from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.entries import Entry
from swath.data.tables import decode_text, entries_from_csv
from swath.errors import DataError


def csv_rows(text, folder=""):
    return entries_from_csv(text, folder=folder, where="t.csv").rows


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
        ("label\nx\n", "no column 'path'"),
        ("path,label,label\na,b,c\n", "names a column twice"),
        ("path,label\na.jpg\n", "line 2 has 1 values for 2 columns"),
        ("path,label\na.jpg,\n", "line 2: the label is empty"),
        ("path,label\n../a.jpg,A\n", "leads outside"),
        ("path,label\n/a.jpg,A\n", "leads outside"),
        ("path,label\n,A\n", "is empty or leads outside"),
        ("path,label\na.jpg,A\n./a.jpg,B\n", r"line 3 names a\.jpg a second time"),
        ("path,label,split\na.jpg,A,later\n", "unknown split 'later'"),
        ("path,label,lon,lat\na.jpg,A,200,0\n", "lon '200' is not"),
        ("path,label,lon,lat\na.jpg,A,0,nan\n", "lat 'nan' is not"),
        ("path,label,lon,lat\na.jpg,A,0,\n", "go together"),
        ("path,label,lon,lat\na.jpg,A,east,0\n", "lon 'east' is not"),
        ('path,label\n"a.jpg"x,A\n', "not valid CSV"),
        ('path,label\na.jpg,"A\nB"\n', r"'A\\nB' has unusual characters"),
        ("path,label\na.jpg,\x1b]0;A\n", "has unusual characters"),
        ("path,labels\na.jpg,A;\u202eB\n", "has unusual characters"),
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


def labels_of(text):
    return [(row.path, row.label if row.labels is None else row.labels) for row in csv_rows(text)]


PLAIN = "path,label\nimg/a.png,A\nimg/b.png,B B\nimg/c.png,02\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("\n", ",,,\n"),
        PLAIN.replace("img/", "./img/"),
        PLAIN.replace("img/", "img\\"),
        PLAIN.removeprefix("path,label\n"),
        PLAIN.removeprefix("path,label\n").replace(",", ";"),
        PLAIN.replace("path,label", "Path,Label"),
        PLAIN.replace("path,label", "Filename,Class"),
        PLAIN.replace("path,label", "image_path,category"),
        PLAIN.replace("path,label", "filepath,class_name"),
        PLAIN.replace("path,label", "file,target"),
        PLAIN.replace("path,label", "image,CATEGORY NAME"),
        PLAIN.replace("path,label", "id,label"),
        PLAIN.replace("path,label", '"path","label"'),
        ",path,label\n0,img/a.png,A\n1,img/b.png,B B\n2,img/c.png,02\n",
        "Unnamed: 0,path,label\n0,img/a.png,A\n1,img/b.png,B B\n2,img/c.png,02\n",
        "path,label\n0,img/a.png,A\n1,img/b.png,B B\n2,img/c.png,02\n",
        "0,img/a.png,A\n1,img/b.png,B B\n2,img/c.png,02\n",
        "label,path\nA,img/a.png\nB B,img/b.png\n02,img/c.png\n",
        "A,img/a.png\nB B,img/b.png\n02,img/c.png\n",
        ",Filename,Label,ClassName\n0,img/a.png,0,A\n1,img/b.png,1,B B\n2,img/c.png,2,02\n",
    ],
)
def test_dialects_of_one_table_give_the_same_patches(text):
    assert labels_of(text) == [("img/a.png", "A"), ("img/b.png", "B B"), ("img/c.png", "02")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_of_one_table_give_the_same_text(encoding):
    text = PLAIN.replace("B B", "Forêt brûlée")
    read, notes = decode_text(text.encode(encoding), where="t.csv")
    assert read == text
    assert bool(notes) == (encoding == "cp1252")


def test_the_split_is_read_in_the_spellings_that_folders_have():
    text = "path,label,set\na.png,A,Training\nb.png,A,validation\nc.png,A,TEST\nd.png,A,\n"
    assert [row.split for row in csv_rows(text)] == ["train", "val", "test", None]
    assert [row.split for row in csv_rows("a.png,A,train\nb.png,A,dev\n")] == ["train", "val"]


def test_columns_of_no_use_are_kept():
    entries = entries_from_csv("path,label,date,fold\na.png,A,2020,1\nb.png,B,,2\n", folder="", where="t.csv")
    assert entries.notes == ()
    assert entries.extras == {"date": {"a.png": "2020", "b.png": ""}, "fold": {"a.png": "1", "b.png": "2"}}


def test_other_names_of_columns_are_told():
    entries = entries_from_csv("Filename,Class\na.png,A\n", folder="", where="t.csv")
    assert entries.notes == ("columns of t.csv: Filename = path, Class = label",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,A,x\nb.png,B,y\n", "no header, and 2 columns that could be the label"),
        ("path,class,category\na.png,A,x\nb.png,A,y\n", "two columns that may be the label: 'class' and 'category'"),
        ("file,date\na.png,2020\n", r"no column 'label' \(its columns: 'file', 'date'\)"),
        ("path,Label,LABEL\na.png,A,B\n", "names a column twice"),
        ("path,labels\na.png,Sea Lake\nb.png,Annual Crop\n", "several labels per patch in column 'labels'"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(text, message):
    with pytest.raises(DataError, match=message) as caught:
        csv_rows(text)
    assert caught.value.fix


@pytest.mark.parametrize(
    "cells",
    [
        ["A;X", "B;X", "C"],
        ["A|X", "B|X", "C"],
        ['"A,X"', '"B,X"', "C"],
        ["A X", "A B X", "C"],
        ["\"['A', 'X']\"", "\"['B', 'X']\"", "['C']"],
        ['"[""A"", ""X""]"', '"[""B"", ""X""]"', '"[""C""]"'],
        ['"[A, X]"', '"[B, X]"', "[C]"],
    ],
)
@pytest.mark.parametrize("header", ["path,labels", "image_name,tags"])
def test_several_labels_in_a_cell_are_taken_apart(cells, header):
    rows = "".join(f"{n}.png,{cell}\n" for n, cell in enumerate(cells))
    found = [set(labels) for _, labels in labels_of(f"{header}\n{rows}")]
    second = {"A", "B", "X"} if cells[1] == "A B X" else {"B", "X"}
    assert found == [{"A", "X"}, second, {"C"}]


def test_a_list_in_the_column_of_one_label_is_a_list():
    assert labels_of("path,label\na.png,\"['A', 'X']\"\nb.png,['A']\n") == [("a.png", ("A", "X")), ("b.png", ("A",))]


def test_a_column_of_several_labels_with_one_each_is_one_label():
    entries = entries_from_csv("path,labels\na.png,A\nb.png,B\n", folder="", where="t.csv")
    assert [(row.label, row.labels) for row in entries.rows] == [("A", None), ("B", None)]
    assert "no patch of t.csv has several labels" in entries.notes[0]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_sentence(text):
    try:
        entries = csv_rows(text)
    except DataError:
        return
    assert entries


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_refused(data):
    try:
        text, _ = decode_text(data, where="t.csv")
    except DataError:
        return
    assert "\0" not in text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z ]{0,8}[A-Za-z]", fullmatch=True), min_size=2, max_size=6),
       st.sampled_from([",", ";", "\t", "|"]))  # fmt: skip
def test_labels_survive_any_separator(labels, separator):
    text = f"path{separator}label\n" + "".join(f"{n}.png{separator}{label}\n" for n, label in enumerate(labels))
    assert [label for _, label in labels_of(text)] == labels
