"""Commands on a machine whose home, cache or folder of temporary files cannot be written, or whose disk is full.

The places lie under an ordinary file, where not even root can make a folder.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from swath.data import cached_pixels, default_cache
from swath.errors import OutputError
from swath.files import atomic_folder, write_text
from tests.mapping.scenes import write_scene

COMMANDS = """
import json, sys
from swath.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["swath", *command]
    print("$", *command, file=sys.stderr, flush=True)
    try:
        main()
    except SystemExit as end:
        print("ended", end.code or 0, file=sys.stderr, flush=True)
"""


def run(commands, tmp_path, *, without=("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR")):
    """What each command says on standard error, where none of these folders can be made."""
    (tmp_path / "file").write_text("")
    away = ("SWATH_CACHE", "MPLCONFIGDIR", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in away}
    environment |= {name: str(tmp_path / "file" / name.lower()) for name in without}
    texts = [[str(part) for part in command] for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(texts)],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stderr.split("$ ")[1:]


def check(commands, tmp_path, *, caches):
    """All of them end well, say once where the cache is missing, and let no library complain."""
    said = run(commands, tmp_path)
    for text in said:
        assert "ended 0" in text, text
    everything = "".join(said)
    assert everything.count("cannot be written") == caches
    assert everything.count("set SWATH_CACHE to another folder") == caches
    assert "atplotlib" not in everything
    assert "emporary" not in everything


def test_commands_work_without_a_home_a_cache_and_a_folder_of_their_own(tmp_path, tiny_model, tiny_index_file):
    commands = [
        ("evaluate", tiny_model, tiny_index_file, "--out", "evaluate"),
        ("data", "split", tiny_index_file, "--resplit", "--out", "split.parquet"),
        ("doctor",),
        ("cache", "info"),
        ("cache", "clear"),
    ]
    check(commands, tmp_path, caches=1)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "evaluate", "split.parquet"}


@pytest.mark.slow
def test_so_do_all_others(tmp_path, tiny_model, tiny_index_file, tiny_patches):
    scene = write_scene(tmp_path / "s.tif", np.random.default_rng(0).integers(1, 255, (3, 96, 96)).astype("uint8"))
    picture = next(tiny_patches.rglob("*.png"))
    made = ("report", "data", "table.csv", "maps", "heat", "compared", "issues", "mini.parquet")
    report, data, table, maps, heat, compared, issues, mini = made
    commands = [
        ("report", tiny_model, tiny_index_file, "--quick", "--out", report),
        ("compare", tiny_model, tiny_model, tiny_index_file, "--out", compared),
        ("label-issues", tiny_index_file, "--model", tiny_model, "--out", issues),
        ("data", "index", tiny_patches, "--out", mini),
        ("data", "audit", tiny_index_file),
        ("data", "report", tiny_index_file, "--out", data),
        ("predict", tiny_model, picture, "--out", table),
        ("explain", tiny_model, picture, "--out", heat),
        ("map", tiny_model, scene, "--out", f"{maps}/m.tif"),
    ]
    check(commands, tmp_path, caches=1)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "s.tif", "test_accesses.jsonl", *made}


@pytest.mark.slow
def test_so_does_training_and_a_store_of_weights_names_the_way_out(tmp_path, tiny_index_file):
    pytest.importorskip("torch")
    weights = tmp_path / "w.safetensors"
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3, np.float32)}, weights)
    train = ("train", tiny_index_file, "--recipe", "flash", "--set", "epochs=1", "--out", "run")
    first, second = run([train, ("weights", "add", weights)], tmp_path)
    assert "ended 0" in first, first
    assert first.count("cannot be written") == 1
    assert "atplotlib" not in first
    assert "ended 2" in second
    assert "swath: the store of weights" in second
    assert "cannot be written (Not a directory); set SWATH_CACHE to a folder you can write to" in second


def test_a_user_without_a_home_is_none_to_stumble_over(monkeypatch, tmp_path):
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    for name in ("SWATH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert str(default_cache()) == "/nonexistent/.cache/swath"
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")


def test_without_a_cache_patches_come_from_memory_if_they_fit(tmp_path, tiny_index, monkeypatch, caplog):
    expected = cached_pixels(tiny_index, cache=tmp_path / "cache")
    (tmp_path / "file").write_text("")
    for _ in range(2):
        np.testing.assert_array_equal(cached_pixels(tiny_index, cache=tmp_path / "file" / "cache"), expected)
    assert [record.message.count("cannot be written (Not a directory)") for record in caplog.records] == [1]
    monkeypatch.setattr("swath.data.cache.free_memory", lambda: 2**20)
    with pytest.raises(OutputError, match=r"do not fit into 0\.0 GiB of free memory; set SWATH_CACHE to a folder"):
        cached_pixels(tiny_index, cache=tmp_path / "file" / "cache")


def test_a_cache_that_can_only_be_read_is_used(tmp_path, tiny_index, monkeypatch, caplog):
    expected = cached_pixels(tiny_index, cache=tmp_path)
    may = os.access
    monkeypatch.setattr("os.access", lambda path, mode, **more: not mode & os.W_OK and may(path, mode, **more))
    again = cached_pixels(tiny_index, cache=tmp_path)
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, expected)
    assert not caplog.records


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_is_found_full_or_broken_at_the_end_is_no_success(tmp_path, monkeypatch, number):
    write_text(tmp_path / "a.csv", "old")

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match=rf"cannot write {tmp_path}/a\.csv \(.*make room there"):
        write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "old"


def test_a_file_system_that_cannot_flush_is_no_fault(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr("os.fsync", fail)
    write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "a.csv").read_text() == "new"
