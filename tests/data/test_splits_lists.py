from __future__ import annotations

import pytest

from swath.data.splits import splits_from_lists
from swath.errors import DataError, SettingError

from .makers import table_index, write

# Paths A/A_0000.png, A/A_0001.png, B/B_0002.png, B/B_0003.png
INDEX = table_index(["A", "A", "B", "B"])


def files(tmp_path, **lists):
    return {split: write(tmp_path / f"{split}.csv", text.encode()) for split, text in lists.items()}


def test_patches_are_found_by_path_by_folder_and_file_and_by_file(tmp_path):
    lists = files(
        tmp_path,
        train="A/A_0000.png\nB_0002.png,ignored,columns\n",
        test="somewhere/else/A/A_0001.png\n\\other\\B\\B_0003.png\n",
    )
    assert splits_from_lists(INDEX, lists) == ["train", "test", "train", "test"]


def test_patches_on_no_list_have_no_split(tmp_path):
    assert splits_from_lists(INDEX, files(tmp_path, val="A_0001.png")) == [None, "val", None, None]


def test_a_header_and_a_byte_order_mark_are_passed_over(tmp_path):
    lists = files(tmp_path, test="\ufeffpath,label\nA/A_0000.png,A\n\n")
    assert splits_from_lists(INDEX, lists) == ["test", None, None, None]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"test": "A/A_0000.png\nA/gone.png\n"}, r"lists 1 patch\(es\) the index does not have, first A/gone\.png"),
        ({"test": "A/gone.png\nA/A_0000.png\n"}, r"first A/gone\.png"),
        ({"test": "path\n"}, "lists no patches"),
        ({"test": ""}, "lists no patches"),
        ({"test": "A_0000.png\n", "val": "A_0000.png\n"}, r"A/A_0000\.png is listed for 'val' and 'test'"),
        ({"val": "A_0000.png\nA/A_0000.png\n"}, r"listed for 'val' twice, at last by .*val"),
        ({"val": "wrong/A_0000.png\n"}, "does not have"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, lists, message):
    with pytest.raises(DataError, match=message):
        splits_from_lists(INDEX, files(tmp_path, **lists))


def test_a_name_that_fits_several_patches_is_not_guessed(tmp_path):
    index = table_index(["A", "A"])
    index.paths[:] = ["x/A/1.png", "y/A/1.png"]
    with pytest.raises(DataError, match=r"A/1\.png fits 2 patches"):
        splits_from_lists(index, files(tmp_path, test="A/1.png\n"))
    assert splits_from_lists(index, files(tmp_path, test="y/A/1.png\n")) == [None, "test"]


def test_a_group_on_two_lists_is_refused(tmp_path):
    index = table_index(["A", "A", "B"], groups=["g", "g", None])
    with pytest.raises(DataError, match=r"in one group .* on different lists"):
        splits_from_lists(index, files(tmp_path, train="A_0000.png\n", test="A_0001.png\n"))
    assert splits_from_lists(index, files(tmp_path, train="A_0000.png\n", test="B_0002.png\n")) == [
        "train", None, "test",
    ]  # fmt: skip


def test_unknown_splits_and_missing_files(tmp_path):
    with pytest.raises(SettingError, match="no split is named 'dev'"):
        splits_from_lists(INDEX, {"dev": tmp_path / "x"})
    with pytest.raises(SettingError, match="no lists given"):
        splits_from_lists(INDEX, {})
    with pytest.raises(DataError, match="there is no file"):
        splits_from_lists(INDEX, {"test": tmp_path / "gone.csv"})
    (tmp_path / "latin.csv").write_bytes(b"\xff\xff\x80.png\n")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        splits_from_lists(INDEX, {"test": tmp_path / "latin.csv"})


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nA/A_0000.png,A\nB/B_0002.png,B\n",
        "label;path\nA;A/A_0000.png\nB;B/B_0002.png\n",
        ",Filename,Label\n0,A/A_0000.png,0\n1,B/B_0002.png,1\n",
        "0\tA/A_0000.png\n1\tB/B_0002.png\n",
        "/home/ann/data/A/A_0000.png\n/home/ann/data/B/B_0002.png\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_dialects_of_one_list_give_the_same_patches(tmp_path, text, encoding):
    path = write(tmp_path / "t.csv", text.encode(encoding))
    assert splits_from_lists(INDEX, {"test": path}) == ["test", None, "test", None]
