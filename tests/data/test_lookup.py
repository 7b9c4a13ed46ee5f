from __future__ import annotations

from pathlib import Path

import pytest

from swath.data.lookup import match_paths, relative_to_common
from swath.errors import DataError

FILES = frozenset({"img/a/A0.png", "img/b/B0.png", "img/b/B1.jpg", "list.csv", "img/A0.txt"})


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        (["img/a/A0.png", "img/b/B0.png", "img/b/B1.jpg"], ""),
        (["a/A0.png", "b/B0.png", "b/B1.jpg"], "img"),
        (["a/A0.png", "b/B0.png", "b/B1.jpg"], ""),
        (["A0", "B0", "B1"], ""),
        (["A0.png", "B0.png", "B1.jpg"], ""),
        (["A0.PNG", "b0.png", "B1.JPG"], ""),
        (["/home/ann/data/img/a/A0.png", "/home/ann/data/img/b/B0.png", "/home/ann/data/img/b/B1.jpg"], ""),
        ([r"C:\\work\\img\\a\\A0.png", r"C:\\work\\img\\b\\B0.png", r"C:\\work\\img\\b\\B1.jpg"], ""),
        (["../set/a/A0.png", "../set/b/B0.png", "../set/b/B1.jpg"], "lists"),
    ],
)
def test_files_are_found_where_they_are(given, folder):
    paths, notes = match_paths(given, folder=folder, names=FILES, where="t.csv")
    if given[0].startswith(".."):
        assert paths == given  # left to whoever validates paths
    else:
        assert paths == ["img/a/A0.png", "img/b/B0.png", "img/b/B1.jpg"]
        direct = f"{folder}/{given[0]}".strip("/") in FILES
        assert len(notes) == (0 if direct else 1)


def test_a_name_that_fits_two_files_is_refused():
    with pytest.raises(DataError, match=r"t\.csv: 1 fits 2 images \(A/1\.png, B/1\.png\)"):
        match_paths(["1"], folder="", names={"A/1.png", "B/1.png"}, where="t.csv")


def test_a_missing_file_is_never_exchanged_for_one_of_the_same_name():
    names = {"A/1.png", "A/2.png", "B/3.png"}
    assert match_paths(["A/1.png", "A/2.png", "A/3.png"], folder="", names=names, where="t.csv") == (
        ["A/1.png", "A/2.png", "A/3.png"], [],
    )  # fmt: skip
    paths, _ = match_paths(["x/A/1.png", "x/A/2.png", "x/A/3.png"], folder="", names=names, where="t.csv")
    assert paths == ["A/1.png", "A/2.png", "x/A/3.png"]


def test_the_common_folder_of_absolute_paths_is_the_root(tmp_path):
    given = [str(tmp_path / "a" / "1.png"), str(tmp_path / "b" / "c" / "2.png")]
    assert relative_to_common(given, start=Path("/elsewhere"), root=None) == (tmp_path, ["a/1.png", "b/c/2.png"])
