from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import archives
from swath.data.archives import FolderReader, is_folder, is_image_name, read_file, safe_name
from swath.errors import DataError, MissingFileError

from .makers import write


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("./a//b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("a/..b/c..jpg", "a/..b/c..jpg"),
        ("../b.jpg", None),
        ("a/../../b.jpg", None),
        ("a\\..\\b.jpg", None),
        ("/etc/passwd", None),
        ("\\\\server\\x", None),
        ("C:\\b.jpg", None),
        ("C:", None),
        ("", None),
        (".", None),
        (".\\C:", None),
        ("a\0b", None),
    ],
)
def test_plain_names(name, plain):
    assert safe_name(name) == plain


@given(st.text(alphabet="ab./\\:C", max_size=12))
@settings(max_examples=50)
def test_a_safe_name_is_final_and_never_climbs(name):
    plain = safe_name(name)
    if plain is not None:
        assert safe_name(plain) == plain
        assert not plain.startswith("/")
        assert ".." not in plain.split("/")


def test_image_names():
    assert is_image_name("a/B.JPG")
    assert is_image_name("x.tiff")
    assert not is_image_name("x.txt")
    assert not is_image_name("jpg")


def test_lists_all_files_but_hidden_ones_sorted(tmp_path):
    for name in ("b/2.jpg", "b/10.jpg", "a/deep/x.txt", ".hidden/x.jpg", "a/.x.jpg", "__MACOSX/y.jpg"):
        write(tmp_path / name, b"x")
    with FolderReader(tmp_path) as reader:
        assert reader.names() == ["a/deep/x.txt", "b/10.jpg", "b/2.jpg"]


def test_follows_links_but_never_in_circles(tmp_path):
    write(tmp_path / "elsewhere" / "x.jpg", b"linked")
    root = tmp_path / "root"
    root.mkdir()
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "self").symlink_to(root)
    reader = FolderReader(root)
    assert reader.names() == ["away/x.jpg"]
    assert reader.read("away/x.jpg") == b"linked"


def test_a_reader_does_not_leave_its_root(tmp_path):
    write(tmp_path / "secret.txt", b"x")
    reader = FolderReader(tmp_path / "root")
    for name in ("../secret.txt", "/etc/passwd", "a/../../secret.txt"):
        with pytest.raises(DataError, match="not a plain path"):
            reader.read(name)


def test_a_missing_file_is_its_own_error(tmp_path):
    with pytest.raises(MissingFileError, match=r"gone\.jpg"):
        FolderReader(tmp_path).read("gone.jpg")
    with pytest.raises(MissingFileError, match="there is no file or folder"):
        is_folder(tmp_path / "gone")


def test_names_with_line_breaks_are_refused(tmp_path):
    write(tmp_path / "a\nb.jpg", b"x")
    with pytest.raises(DataError, match="unusual characters"):
        FolderReader(tmp_path).names()


def test_pipes_and_huge_files_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a file"):
        read_file(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        is_folder(tmp_path / "pipe")
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 4)
    with pytest.raises(DataError, match="larger than"):
        read_file(write(tmp_path / "big.jpg", b"12345"))
    assert read_file(write(tmp_path / "fits.jpg", b"1234")) == b"1234"
