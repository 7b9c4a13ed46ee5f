from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swath.errors import OutputError
from swath.fetch import download_lock
from swath.files import atomic_file, atomic_files, atomic_folder, check_folder, check_output, one_run, sweep, write_text

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_whole_and_readable_by_all(tmp_path):
    with atomic_file(tmp_path / "new" / "a.csv") as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("1")
        assert not (tmp_path / "new" / "a.csv").exists()
    assert names(tmp_path / "new") == ["a.csv"]
    assert stat.S_IMODE((tmp_path / "new" / "a.csv").stat().st_mode) == 0o644


def test_a_failure_leaves_nothing_new_and_the_old_file_whole(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def write() -> None:
        with atomic_file(tmp_path / "a.txt", overwrite=True) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_text_replaces_what_was_there_and_keeps_its_letters(tmp_path):
    for text in ("old", "né\n"):
        write_text(tmp_path / "new" / "a.md", text)
    assert (tmp_path / "new" / "a.md").read_text(encoding="utf-8") == "né\n"
    assert names(tmp_path / "new") == ["a.md"]


def test_an_existing_file_is_refused_and_named(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt exists already.*--overwrite"):
        check_output(tmp_path / "a.txt")
    check_output(tmp_path / "a.txt", overwrite=True)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="cannot make the folder"):
        check_output(tmp_path / "a" / "b.txt")
    with pytest.raises(OutputError, match="is a file"), atomic_folder(tmp_path / "a", overwrite=True):
        pass


@as_root
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot write into"):
        check_output(tmp_path / "a.txt")


def test_a_folder_appears_whole(tmp_path):
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a"]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


def test_an_empty_folder_is_filled_a_full_one_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(OutputError, match=r"is not empty.*--overwrite"), atomic_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "a").read_text() == "1"


def test_overwrite_replaces_all_of_it_at_the_end(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    with atomic_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "new").write_text("2")
        assert names(tmp_path / "out") == ["old"]
    assert names(tmp_path / "out") == ["new"]
    assert names(tmp_path) == ["out"]


def test_a_failed_overwrite_keeps_the_old_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")

    def write() -> None:
        with atomic_folder(tmp_path / "out", overwrite=True):
            raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        write()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """Where the system cannot let two folders swap names, and the disk fails between the two moves."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    monkeypatch.setattr("swath.files._exchange", lambda *_: False)
    really = Path.replace

    def replace(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError(28, "No space left on device")
        really(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="No space left"), atomic_folder(tmp_path / "out", overwrite=True):
        pass
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_a_folder_that_cannot_take_its_name_is_one_sentence(tmp_path, monkeypatch):
    def replace(source: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="Input/output error"), atomic_folder(tmp_path / "out"):
        pass
    assert names(tmp_path) == []


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_text("1")
    (tmp_path / "out").symlink_to("real")
    with atomic_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "new").write_text("2")
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "real") == ["new"]


def test_a_folder_that_holds_the_inputs_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.jpg"
    photo.write_text("dear")
    for out, keep in ((photo.parent, [photo]), (photo.parent, [photo.parent]), (tmp_path, [photo])):
        with pytest.raises(OutputError, match="is not replaced"), atomic_folder(out, overwrite=True, keep=keep):
            pass
    monkeypatch.chdir(photo.parent)
    with pytest.raises(OutputError, match="is not replaced"), atomic_folder(Path(), overwrite=True):
        pass
    assert photo.read_text() == "dear"


@pytest.mark.parametrize(
    "text", ["[errno 28] No space left", "Error writing bytes to file. Detail: [errno 28] No space"]
)
def test_a_full_disk_names_the_file_and_the_way_on(tmp_path, text):
    """Writing into an open file names no file, and Arrow gives the number in its text alone."""
    raised = OSError(errno.ENOSPC, "No space left on device") if text.startswith("[") else OSError(text)
    said = r"cannot write .*a\.csv \(No space left on device\); make room"
    with pytest.raises(OutputError, match=said) as caught, atomic_file(tmp_path / "a.csv"):
        raise raised
    assert "--resume" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_other_faults_of_a_writer_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), atomic_file(tmp_path / "a.csv"):
        raise PermissionError(errno.EACCES, "Permission denied", "elsewhere")


KILLED = """
import os, signal, sys
from pathlib import Path
from swath import files
target, work, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count = 0
def kill_before(call):
    def counted(*args, **options):
        global count
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return counted
for name in ("replace", "rename", "unlink"):
    setattr(os, name, kill_before(getattr(os, name)))
files._exchange = kill_before(files._exchange)
if "noswap" in work:
    files._exchange = lambda *_: False
if "folder" in work:
    with files.atomic_folder(target, overwrite=True) as folder:
        for name in "ab":
            (folder / name).write_text("new")
else:
    with files.atomic_files([target / "a.tif", target / "b.json", target / "c.png"], overwrite=True) as paths:
        for path in paths.values():
            path.write_text("new")
"""


def killed(target: Path, work: str, fatal: int) -> bool:
    """Run `work` in a process that is killed before its n-th change of a name; False if it has fewer."""
    command = [sys.executable, "-c", KILLED, str(target), work, str(fatal)]
    return subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("work", ["files", "folder", "folder noswap"])
def test_a_killed_run_leaves_the_old_set_or_the_new_one(tmp_path, old, work):
    """Whatever name is changed last, nothing is mixed, the next run ends well, and nothing hidden stays."""
    for fatal in range(1, 20):
        target = tmp_path / str(fatal) / "out"
        target.parent.mkdir()
        inside = ("a.tif", "b.json", "c.png") if work == "files" else ("a", "b")
        if old or work == "files":
            target.mkdir()
        for name in inside if old else ():
            (target / name).write_text("old")
        if old and work == "files":
            (target / "a.tif.aux.xml").write_text("old")  # what a GIS program has left
        if not killed(target, work, fatal):
            break
        contents = {p.name: p.read_text() for p in target.iterdir() if p.is_file()} if target.exists() else {}
        if inside[0] in contents:  # the first of a set says that the others are of it
            assert set(contents.values()) == {contents[inside[0]]}
        with contextlib.suppress(ZeroDivisionError):
            if work == "files":
                with atomic_files([target / name for name in inside], overwrite=True) as paths:
                    assert names(paths[target / "a.tif"].parent) == ["lock"]
                    raise ZeroDivisionError
            with atomic_folder(target, overwrite=True):
                raise ZeroDivisionError
        assert all(
            not name.startswith(".") for folder in (target.parent, target) if folder.exists() for name in names(folder)
        )
        after = {p.name: p.read_text() for p in target.iterdir()} if target.exists() else {}
        assert len(set(after.values())) <= 1
        if old:
            assert set(inside) <= set(after)  # the old set or the new one, and all of it
    assert fatal > 1


def test_a_second_run_is_refused_while_the_first_one_lives(tmp_path):
    with atomic_file(tmp_path / "a.txt") as first:
        first.write_text("first")
        with pytest.raises(OutputError, match="another run"), atomic_file(tmp_path / "a.txt"):
            pytest.fail("nothing should be started")
        assert first.read_text() == "first"
    assert (tmp_path / "a.txt").read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_what_a_gis_program_left_goes_with_the_raster_it_describes(tmp_path):
    for name in ("m.tif", "m.tif.aux.xml", "m.tif.msk", "m.tif.ovr", "m.tfw", "other.tif.msk"):
        (tmp_path / name).write_text("old")
    with atomic_file(tmp_path / "m.tif", overwrite=True) as path:
        path.write_text("new")
    assert names(tmp_path) == ["m.tif", "other.tif.msk"]
    (tmp_path / "m.tif").rename(tmp_path / "m2.tif")
    (tmp_path / "m.tif.msk").write_text("mine")  # it would mask the new raster
    with pytest.raises(OutputError, match=r"m\.tif\.msk exists"), atomic_file(tmp_path / "m.tif"):
        pytest.fail("nothing should be started")


@pytest.mark.parametrize("name", ["s3://bucket/m.tif", "gs:/b/m.tif", "https://h.example/m.tif", "/vsis3/b/m.tif"])
def test_outputs_are_local_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for check in (check_output, check_folder):
        with pytest.raises(OutputError, match="not on this machine"):
            check(Path(name))
    assert names(tmp_path) == []


def test_links_and_pipes_are_no_files_to_replace(tmp_path):
    (tmp_path / "real").write_text("mine")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=r"is a link.*write to .*real"):
        check_output(tmp_path / "link", overwrite=True)
    with pytest.raises(OutputError, match="is a pipe"):
        check_output(tmp_path / "pipe", overwrite=True)


def test_files_appear_together_at_the_end(tmp_path):
    targets = (tmp_path / "a.txt", tmp_path / "sub" / "b.txt")
    with atomic_files(targets) as paths:
        for path in paths.values():
            path.write_text(path.name)
        assert not any(t.exists() for t in targets)
    assert [t.read_text() for t in targets] == ["a.txt", "b.txt"]
    assert names(tmp_path) == ["a.txt", "sub"]
    assert names(tmp_path / "sub") == ["b.txt"]


def write_half(targets):
    with atomic_files(targets, overwrite=True) as paths:
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
    with atomic_files((tmp_path / "a.txt",)) as paths:
        assert names(leftover) == ["lock"]
        paths[tmp_path / "a.txt"].write_text("new")
    assert names(tmp_path) == ["a.txt"]


def test_existing_files_of_a_set_are_refused(tmp_path):
    (tmp_path / "b.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"), atomic_files((tmp_path / "a.txt", tmp_path / "b.txt")):
        pytest.fail("nothing should be started")
    assert names(tmp_path) == ["b.txt"]


def test_a_partial_name_that_is_a_file_is_not_trampled_on(tmp_path):
    (tmp_path / ".a.txt.partial").write_text("someone's")
    with pytest.raises(OutputError, match="cannot make the folder"), atomic_files((tmp_path / "a.txt",)):
        pytest.fail("nothing should be started")
    assert (tmp_path / ".a.txt.partial").read_text() == "someone's"


def test_runs_that_share_a_folder_leave_each_other_alone(tmp_path):
    """Two maps of the same name, whose probabilities go to one folder."""
    both = [(tmp_path / name / "map.tif", tmp_path / "p" / f"{name}.tif") for name in "ab"]
    for name in "abp":
        (tmp_path / name).mkdir()
    with atomic_files(both[0]) as first:
        first[both[0][1]].write_text("first")
        with atomic_files(both[1]) as second:
            for path in second.values():
                path.write_text("second")
        first[both[0][0]].write_text("first")
    assert [path.read_text() for targets in both for path in targets] == ["first", "first", "second", "second"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_once_and_written_on(tmp_path, monkeypatch, caplog, number):
    import fcntl

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for name in ("a.txt", "b.txt", "a.txt"):
        write_text(tmp_path / name, name)
    with download_lock(tmp_path / "c.part", size=1):
        (tmp_path / "c.part").write_text("c")
    assert names(tmp_path) == ["a.txt", "b.txt", "c.part"]
    said = [record.message for record in caplog.records]
    assert said == [f"the file system of {tmp_path} has no locks: do not start two runs with one output there"]


def test_what_killed_runs_left_is_swept_and_what_lives_is_not(tmp_path):
    (tmp_path / ".a.npy.partial").mkdir()
    (tmp_path / ".a.npy.partial" / "a.npy").write_text("half")
    with atomic_file(tmp_path / "b.npy") as alive:
        alive.write_text("b")
        sweep(tmp_path)
        assert names(tmp_path) == [".b.npy.partial"]
    assert names(tmp_path) == ["b.npy"]


def test_one_run_writes_into_a_folder_file_by_file(tmp_path):
    with one_run(tmp_path / "run"):
        write_text(tmp_path / "run" / "a.txt", "1")
        with pytest.raises(OutputError, match="run is being written by another run"), one_run(tmp_path / "run"):
            pass
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["a.txt"]


def test_a_full_disk_is_told_by_the_name_an_output_ends_with(tmp_path):
    def write() -> None:
        within = atomic_folder(tmp_path / "page")
        with within as page, atomic_folder(page / "score") as score, atomic_file(score / "a.csv"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=rf"cannot write {tmp_path}/page/score/a\.csv \(No space left"):
        write()
