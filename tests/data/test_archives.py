from __future__ import annotations

import pytest

from swath.data import open_patches
from swath.data.archives import FolderReader, ZipReader
from swath.errors import DataError

from .makers import packed, tree, write


def test_a_folder_and_its_zip_hold_the_same(tmp_path):
    root = tree(tmp_path / "in")
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    archive = packed(tmp_path / "in.zip", {name: (root / name).read_bytes() for name in names})
    with open_patches(root) as folder, open_patches(archive) as zipped:
        assert isinstance(folder, FolderReader)
        assert isinstance(zipped, ZipReader)
        assert folder.names() == zipped.names() == names
        assert [folder.read(n) for n in names] == [zipped.read(n) for n in names]


def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path):
    path = write(tmp_path / "notes.txt", b"hello")
    with pytest.raises(DataError, match=r"notes\.txt is not a zip archive"):
        open_patches(path)
