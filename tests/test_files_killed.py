"""Commands killed before each change of a name they make: the old results or the new ones, never a mixture.

Every ``rename``, ``replace``, ``unlink`` and exchange of a command is counted, and for each number the command is run
again and killed (SIGKILL) just before it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from tests.mapping.scenes import write_scene
from tests.tiny import write_tiny_model

pytestmark = pytest.mark.soak
MOST = 40  # changes of names of any of these commands

SCRIPT = """
import os, signal, sys
from swath import files
fatal, count = int(sys.argv[1]), 0
def kill_before(call):
    def counted(*args, **options):
        global count
        if any(".partial" in str(arg) for arg in args):
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return counted
for name in ("replace", "rename", "unlink"):
    setattr(os, name, kill_before(getattr(os, name)))
files._exchange = kill_before(files._exchange)
sys.argv = ["swath", *sys.argv[2:]]
from swath.cli import main
main()
"""


def run(fatal, *arguments):
    """Exit status of a command that is killed before its change number `fatal`; 0 is before none."""
    command = [sys.executable, "-c", SCRIPT, str(fatal), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def hidden(folder):
    return [path for path in folder.rglob(".*") if path.name.startswith(".")]


def check(make, whole, folder, *, replacing):
    """Kill `make` before each change of a name that it makes; returns how often it was killed.

    `make(fatal, "old" or "new", overwrite)` runs the command, and `whole()` says which of the two results is there, or
    None where there is none; it asserts that what is there is of one kind.
    """
    kills = 0
    for fatal in range(1, MOST):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        if replacing:
            assert make(0, "old", False) == 0
        ended = make(fatal, "new", replacing)
        if ended != -signal.SIGKILL:
            assert ended == 0
            break
        kills += 1
        state = whole()
        if not replacing:
            assert state in (None, "new")
        assert make(0, "new", True) == 0
        assert whole() == "new"
        assert hidden(folder) == []
    assert kills > 0
    return kills


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: write_tiny_model(folder / f"{name}.onnx") for name in ("old", "new")}


@pytest.mark.parametrize("replacing", [False, True])
def test_map(tmp_path, models, replacing, record_property):
    import numpy as np

    scene = write_scene(tmp_path / "s.tif", np.random.default_rng(0).integers(1, 255, (3, 96, 96)).astype("uint8"))
    folder = tmp_path / "maps"
    folder.mkdir()
    out = folder / "m.tif"

    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        return run(fatal, "map", models[which], scene, "--out", out, "--probabilities", folder / "p.tif", *more)

    def whole():
        if not out.exists():
            return None
        with rasterio.open(out) as dataset:
            name, of_run = dataset.tags()["SWATH_MODEL"], dataset.tags()["SWATH_RUN"]
        for other in ("m.confidence.tif", "p.tif"):
            with rasterio.open(folder / other) as dataset:
                assert dataset.tags()["SWATH_RUN"] == of_run
        assert json.loads((folder / "m.json").read_text())["run"] == of_run
        return "old" if name == "old" else "new"

    record_property("kills", check(make, whole, folder, replacing=replacing))


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("command", [("evaluate",), ("report", "--quick")])
def test_folders(tmp_path, models, tiny_index_file, replacing, command, record_property):
    folder = tmp_path / "results"
    folder.mkdir()
    out = folder / "out"

    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        split = ("--split", "test" if which == "old" else "val") if command == ("evaluate",) else ()
        name, *options = command
        done = run(fatal, name, models["new"], tiny_index_file, *options, *split, "--out", out, *more)
        if which == "old" and done == 0:
            (out / "old").write_text("of the older run")
        return done

    def whole():
        if not out.exists():
            return None
        assert any(path.suffix in (".json", ".html") for path in out.rglob("*"))
        return "old" if (out / "old").exists() else "new"

    record_property("kills", check(make, whole, folder, replacing=replacing))


@pytest.mark.parametrize("replacing", [False, True])
def test_training(tmp_path, tiny_index_file, replacing, record_property):
    """The model file is complete wherever it is; a killed run resumes or starts over, and leaves nothing hidden."""
    from swath.model import read_model

    folder = tmp_path / "runs"
    folder.mkdir()
    out = folder / "run"

    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        return run(
            fatal, "train", tiny_index_file, "--recipe", "flash", "--set", "epochs=1", "--out", out,
            "--name", which, *more,
        )  # fmt: skip

    def whole():
        model = Path(out / "model.onnx")
        return read_model(model).record.name if model.exists() else None

    record_property("kills", check(make, whole, folder, replacing=replacing))
