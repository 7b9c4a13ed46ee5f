from __future__ import annotations

import pytest

from swath.errors import OutputError, SettingError
from swath.mapping.writer import staged


def names(folder):
    return sorted(p.name for p in folder.rglob("*"))


def test_files_appear_together_at_the_end(tmp_path):
    targets = (tmp_path / "a.txt", tmp_path / "sub" / "b.txt")
    with staged(targets) as paths:
        for path in paths.values():
            path.write_text(path.name)
        assert not any(t.exists() for t in targets)
    assert [t.read_text() for t in targets] == ["a.txt", "b.txt"]
    assert names(tmp_path) == ["a.txt", "b.txt", "sub"]


def write_half(targets):
    with staged(targets, overwrite=True) as paths:
        paths[targets[0]].write_text("half")
        raise ZeroDivisionError


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half((tmp_path / "a.txt", tmp_path / "b.txt"))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_leftovers_of_a_killed_run_are_cleared(tmp_path):
    leftover = tmp_path / ".a.txt.partial"
    leftover.mkdir()
    (leftover / "big.tmp").write_text("left by a killed run")
    with staged((tmp_path / "a.txt",)) as paths:
        assert names(leftover) == []
        paths[tmp_path / "a.txt"].write_text("new")
    assert names(tmp_path) == ["a.txt"]


def test_existing_files_and_twins_are_refused(tmp_path):
    (tmp_path / "b.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"), staged((tmp_path / "a.txt", tmp_path / "b.txt")):
        pytest.fail("nothing should be started")
    with pytest.raises(SettingError, match="same file"), staged((tmp_path / "c", tmp_path / "x" / ".." / "c")):
        pytest.fail("nothing should be started")
    assert names(tmp_path) == ["b.txt"]


def test_a_partial_name_that_is_a_file_is_not_trampled_on(tmp_path):
    (tmp_path / ".a.txt.partial").write_text("someone's")
    with pytest.raises(OutputError, match="remove it"), staged((tmp_path / "a.txt",)):
        pytest.fail("nothing should be started")
    assert (tmp_path / ".a.txt.partial").read_text() == "someone's"


def test_runs_that_share_a_folder_leave_each_other_alone(tmp_path):
    """Two maps of the same name, whose probabilities go to one folder."""
    both = [(tmp_path / name / "map.tif", tmp_path / "p" / f"{name}.tif") for name in "ab"]
    for name in "abp":
        (tmp_path / name).mkdir()
    with staged(both[0]) as first:
        first[both[0][1]].write_text("first")
        with staged(both[1]) as second:
            for path in second.values():
                path.write_text("second")
        first[both[0][0]].write_text("first")
    assert [path.read_text() for targets in both for path in targets] == ["first", "first", "second", "second"]
