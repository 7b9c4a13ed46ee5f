"""Commands killed before each change of a name they make: the old results, none yet or the new ones, never a mixture.

Every ``rename``, ``replace``, ``unlink`` and exchange of a command below its folders, the cache's among them, is
counted, and for each number the command is run again and killed (SIGKILL) just before it. The last test prints the
table of kills (``pytest -m soak -s tests/test_files_killed.py``). The commands run in children of one process that has
imported everything, draw pictures of one pixel and export a network once: names are what is looked at here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.data import build_index, split_index, write_index
from swath.evaluation.predictions import TEST_ACCESSES
from tests.mapping.scenes import write_scene
from tests.tiny import write_patches, write_tiny_model

pytestmark = pytest.mark.soak
MOST = 60  # changes of names of any of these commands
TABLE: dict[tuple[str, str], dict[str, int]] = {}

SERVER = """
import json, os, pickle, signal, sys
import matplotlib.figure, onnxruntime, openvino, rasterio
import swath.cli, swath.evaluation.run_report, swath.mapping, swath.inference.openvino
import swath.training, timm
from PIL import Image
from swath import files

trainer = sys.modules["swath.training.train"]

def draw_one_pixel(figure, target, **_):
    Image.new("RGB", (1, 1)).save(target, "png")

def once(export, folder):
    def remembered(*args, name):
        kept = os.path.join(folder, f"{name}.exported")
        if not os.path.exists(kept):
            with open(kept, "wb") as file:
                pickle.dump(export(*args, name=name), file)
        with open(kept, "rb") as file:
            return pickle.load(file)
    return remembered

def path_of(arg, dir_fd):
    above = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
    return os.path.abspath(os.path.join(above, os.fsdecode(arg)))

def kill_before(call, root, fatal, count):
    def counted(*args, **options):
        paths = [path_of(arg, options.get("dir_fd")) for arg in args if isinstance(arg, (str, os.PathLike))]
        if os.path.lexists(paths[0]) and any(p.startswith(root) and not p.endswith("/lock") for p in paths):
            count.append(paths)
            if len(count) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return counted

def run(root, fatal, arguments):
    count = []
    for name in ("replace", "rename", "unlink"):
        setattr(os, name, kill_before(getattr(os, name), root, fatal, count))
    files._exchange = kill_before(files._exchange, root, fatal, count)
    trainer.export_model = once(trainer.export_model, os.path.dirname(root))
    sys.argv = ["swath", *arguments]
    try:
        swath.cli.main()
    except SystemExit as end:
        return end.code or 0

matplotlib.figure.Figure.savefig = draw_one_pixel
for line in sys.stdin:
    child = os.fork()
    if not child:
        status = 99
        try:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            status = run(*json.loads(line))
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Runs commands, killed before their change number `fatal` below `folder`; 0 is before none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"SWATH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __call__(self, fatal: int, *arguments: object) -> int:
        order = [str(self.folder), fatal, [str(argument) for argument in arguments]]
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def end(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    made = Commands(tmp_path_factory.mktemp("results"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: write_tiny_model(folder / f"{name}.onnx", name=name) for name in ("old", "new")}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    path = folder / "index.parquet"
    write_index(split_index(build_index(write_patches(folder / "patches", n=6))), path)
    return path


def contents(folder):
    """Hash of each file that can be seen, by its name below the folder; the log of test accesses is of no set."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != TEST_ACCESSES]
    shown = [
        path for path in paths if not any(part[0] == "." or part == "cache" for part in path.relative_to(folder).parts)
    ]
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in shown}


def hidden(folder):
    return list(folder.rglob(".*"))


def check(command, make, commands, *, replacing, main):
    """Kill `make` before each change of a name that it makes, look at what is there, and run it to its end.

    `make(fatal, "old" or "new", overwrite)` runs the command; `main` is the file with which a set is there.
    """
    folder, kept = commands.folder, commands.folder.with_name("kept")

    def start(tree=None):
        shutil.rmtree(folder)
        shutil.copytree(tree, folder) if tree else folder.mkdir()

    start()
    assert make(0, "new", False) == 0
    new = contents(folder)
    start()
    assert make(0, "old", False) == 0
    old = contents(folder)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    differing = {name for name in old if old[name] != new.get(name)}
    assert main in differing
    row = TABLE.setdefault((command, "replacing" if replacing else "fresh"), {})
    row |= dict.fromkeys(("kills", "old set", "no set yet", "new set", "mixtures", "next run failed", "left over"), 0)
    for fatal in range(1, MOST):
        start(kept if replacing else None)
        ended = make(fatal, "new", replacing)
        if ended != -signal.SIGKILL:
            assert ended == 0
            break
        found = contents(folder)
        of_old = {name for name in differing if found.get(name) == old[name]}
        of_new = {name for name in found if name in differing or name not in old} - of_old
        if of_old and of_new:
            state = "mixtures"
        elif main not in found:
            state = "no set yet"
        else:
            state = "old set" if of_old else "new set"
            assert set(found) == set(old if of_old else new)
        row["kills"] += 1
        row[state] += 1
        row["next run failed"] += make(0, "new", True) != 0 or set(contents(folder)) != set(new)
        row["left over"] += bool(hidden(folder))
    assert row["kills"] > 0
    assert (row["mixtures"], row["next run failed"], row["left over"]) == (0, 0, 0)


@pytest.mark.parametrize("replacing", [False, True])
def test_map(tmp_path, models, commands, replacing):
    scene = write_scene(tmp_path / "s.tif", np.random.default_rng(0).integers(1, 255, (3, 96, 96)).astype("uint8"))
    folder = commands.folder

    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        out = ("--out", folder / "m.tif", "--probabilities", folder / "p.tif")
        return commands(fatal, "map", models[which], scene, *out, *more)

    check("map", make, commands, replacing=replacing, main=Path("m.tif"))
    runs = set()
    for name in ("m.tif", "m.confidence.tif", "p.tif"):
        with rasterio.open(folder / name) as dataset:
            runs.add(dataset.tags()["SWATH_RUN"])
    assert runs == {json.loads((folder / "m.json").read_text())["run"]}


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize(("command", "main"), [("evaluate", "metrics.json"), ("report --quick", "report.json")])
def test_folders(models, commands, index_file, replacing, command, main):
    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        split = ("--split", "train" if which == "old" else "val") if command == "evaluate" else ()
        out = ("--out", commands.folder / "out")
        return commands(fatal, *command.split(), models[which], index_file, *split, *out, *more)

    check(command, make, commands, replacing=replacing, main=Path("out") / main)


@pytest.mark.parametrize("replacing", [False, True])
def test_training(commands, index_file, replacing):
    """With ``--overwrite`` a training discards the run in its folder when it starts; the results appear together."""
    pytest.importorskip("torch")

    def make(fatal, which, overwrite):
        more = ("--overwrite",) if overwrite else ()
        settings = (
            "--recipe",
            "flash",
            "--set",
            "epochs=1",
            "--set",
            "size=32",
            "--set",
            f"seed={1 if which == 'old' else 2}",
        )
        out = ("--out", commands.folder / "run", "--name", which)
        return commands(fatal, "train", index_file, *settings, *out, *more)

    check("train", make, commands, replacing=replacing, main=Path("run/model.onnx"))


def test_table():
    """All commands together, as the page on maps has them."""
    columns = list(next(iter(TABLE.values())))
    lines = ["| command | | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
    for (command, target), row in TABLE.items():
        lines.append(f"| `{command}` | {target} | " + " | ".join(str(row[name]) for name in columns) + " |")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert sum(row["kills"] for row in TABLE.values()) >= 60
