from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swath.errors import OutputError
from swath.files import atomic_file, atomic_folder, check_output, write_text

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
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")

    def full_disk(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.move", full_disk)
    with pytest.raises(OSError, match="No space left"), atomic_folder(tmp_path / "out", overwrite=True):
        pass
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


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


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from swath.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.txt").exists()
    assert all(name.startswith(".a.") for name in names(tmp_path))


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
