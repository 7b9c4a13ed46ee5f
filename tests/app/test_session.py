"""One visitor's files: safe names, seen by nobody else, and gone at the end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from swath.app.session import Workspace, saved
from swath.errors import SettingError


class _Upload(io.BytesIO):
    def __init__(self, name: str, data: bytes = b"data") -> None:
        super().__init__(data)
        self.name = name


def test_a_closed_workspace_leaves_nothing(app_folder: Path) -> None:
    one, other = Workspace(), Workspace()
    (one.new_folder() / "mine.png").write_bytes(b"private")
    assert one.folder != other.folder
    one.close()
    assert list(app_folder.iterdir()) == [other.folder]
    other.close()
    assert list(app_folder.iterdir()) == []


def test_what_was_computed_is_not_computed_again() -> None:
    mine = Workspace()
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return 7

    assert [mine.remembered("key", make), mine.remembered("key", make)] == [7, 7]
    assert len(calls) == 1
    for key in range(100):
        mine.remembered(key, lambda: 0)
    mine.remembered("key", make)
    assert len(calls) == 2, "the oldest results are not kept for ever"


def test_of_what_is_large_only_the_latest_is_kept() -> None:
    mine = Workspace()
    calls: list[str] = []

    def make(name: str) -> str:
        calls.append(name)
        return name

    assert [mine.latest("model", key, lambda key=key: make(key)) for key in ("a", "a", "b", "a")] == [
        "a",
        "a",
        "b",
        "a",
    ]
    assert calls == ["a", "b", "a"]
    assert mine.latest("other", "a", lambda: "c") == "c"


def test_a_mistake_is_not_kept() -> None:
    mine = Workspace()

    def fail() -> int:
        raise SettingError("no")

    with pytest.raises(SettingError):
        mine.remembered("key", fail)
    assert mine.remembered("key", lambda: 1) == 1


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.png", "C:\\temp\\a.png", "a\nb.png", ".hidden.png", "x" * 400 + ".png"]
)
def test_no_name_leads_out_of_the_folder(app_folder: Path, name: str) -> None:
    (path,) = saved([_Upload(name)], app_folder)  # type: ignore[list-item]
    assert path.parent == app_folder
    assert path.name.endswith(".png")
    assert path.name.isprintable()
    assert not path.name.startswith(".")


def test_uploads_of_one_name_are_all_kept(app_folder: Path) -> None:
    paths = saved([_Upload("a.png", b"1"), _Upload("a.png", b"2"), _Upload("x/a.png", b"3")], app_folder)  # type: ignore[list-item]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]
