"""No command reads what it has written: nothing below its output is opened for reading while it runs.

A result flows from memory to the file, never back. Python announces every opening of a file to audit hooks; what
native code opens is not announced, so GDAL's writing of rasters in place and Parquet files are not seen here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from swath.cli import main
from tests.opinion.servers import chat_server, says
from tests.teaching.scenes import checkerboard, write_scene

_watched: list[tuple[str, list[str]]] = []  # what an output's path begins with, and what was read below it


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event != "open":
        return
    path, mode, flags = arguments
    if not isinstance(path, str | bytes | os.PathLike):  # a file descriptor
        return
    name = str(Path(os.fsdecode(path)).absolute())
    out, seen = _watched[-1]
    # A temporary sibling, such as .errors.k3x, becomes the output by being renamed.
    folder, _, own = out.rpartition(os.sep)
    if not any(name == root or name.startswith((root + os.sep, root + ".")) for root in (out, f"{folder}/.{own}")):
        return
    reads = "r" in mode or "+" in mode if isinstance(mode, str) else flags & os.O_ACCMODE != os.O_WRONLY
    empty = (isinstance(mode, str) and mode[0] in "wxa") or flags & (os.O_TRUNC | os.O_EXCL)
    if reads and not empty and not Path(name).is_dir():
        seen.append(name)


@cache
def _install() -> None:
    """Add the one hook; a hook stays for good, and does nothing unless something is watched."""
    sys.addaudithook(_hook)


@contextmanager
def reads_below(out: Path) -> Iterator[list[str]]:
    """Collect the paths below `out`, or below its temporary siblings, that are opened for reading."""
    _install()
    seen: list[str] = []
    _watched.append((str(out.with_suffix("").absolute()), seen))
    try:
        yield seen
    finally:
        _watched.pop()


def _scene(path: Path) -> Path:
    return write_scene(path, checkerboard(("Forest", "River")))


Command = Callable[[Path, Path, Path, Path], tuple[object, ...]]


def class_map(patches: Path) -> Path:
    """A map of two classes next to the patches."""
    path = patches.parent / "class_map.tif"
    if not path.exists():
        place = Affine(10, 0, 600_000, 0, -10, 5_400_000)
        shape = {"driver": "GTiff", "height": 20, "width": 20, "count": 1, "dtype": "uint8", "nodata": 0}
        with rasterio.open(path, "w", crs="EPSG:32632", transform=place, **shape) as dataset:
            dataset.write(np.arange(400, dtype=np.uint8).reshape(1, 20, 20) % 2 + 1)
    return path


FAST: dict[str, Command] = {
    "evaluate": lambda model, index, patches, out: ("evaluate", model, index, "--out", out),
    "errors": lambda model, index, patches, out: ("errors", model, index, "--out", out),
    "robustness": lambda model, index, patches, out: (
        "robustness", model, index, "--patches", 4, "--out", out,
    ),
    "label-issues": lambda model, index, patches, out: ("label-issues", index, "--model", model, "--out", out),
    "compare": lambda model, index, patches, out: (
        "compare", model, model, index, "--out", out,
    ),
    "predict": lambda model, index, patches, out: ("predict", model, patches, "--out", out.with_suffix(".csv")),
    "map": lambda model, index, patches, out: (
        "map", model, _scene(out.parent.parent / "scene.tif"), "--min-area", 50, "--out", out.with_suffix(".tif"),
    ),
    "suggest": lambda model, index, patches, out: (
        "suggest", model, _scene(out.parent.parent / "scene.tif"), "--out", out.with_suffix(".gpkg"),
    ),
    "teach": lambda model, index, patches, out: (
        "teach", model, "--patches", index, "--out", out.with_suffix(".onnx"),
    ),
    "explain": lambda model, index, patches, out: ("explain", model, patches / "River", "--out", out),
    "data split": lambda model, index, patches, out: (
        "data", "split", index, "--out", out.with_suffix(".parquet"),
    ),
    "data resample": lambda model, index, patches, out: ("data", "resample", index, "--factor", 2, "--out", out),
    "data fix": lambda model, index, patches, out: ("data", "fix", index, "--out", out),
    "data report": lambda model, index, patches, out: ("data", "report", index, "--out", out),
    "sample": lambda model, index, patches, out: ("sample", class_map(patches), "--out", out.with_suffix(".gpkg")),
    "assess": lambda model, index, patches, out: (
        "assess", class_map(patches), "--reference", class_map(patches), "--out", out,
    ),
    "opinion ask": lambda model, index, patches, out: (
        "opinion", "ask", patches / "River", "--model", model, "--yes", "--out", out.with_suffix(".csv"),
    ),
    "opinion evaluate": lambda model, index, patches, out: (
        "opinion", "evaluate", index, "--model", model, "--n", 8, "--yes", "--out", out,
    ),
    "demo": lambda model, index, patches, out: ("demo", "--out", out, "--no-open"),
}  # fmt: skip


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_model: Path,
    tiny_index_file: Path,
    tiny_patches: Path,
    tmp_path: Path,
) -> Callable[[Command], list[str]]:
    """Run a command to its end; what it read below its output."""

    def call(command: Command) -> list[str]:
        out = tmp_path / "results" / "out"
        out.parent.mkdir()
        arguments = command(tiny_model, tiny_index_file, tiny_patches, out)
        monkeypatch.setattr("sys.argv", ["swath", *map(str, arguments)])
        with reads_below(out) as seen, pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code, capsys.readouterr().err
        assert any(out.parent.iterdir())
        return seen

    return call


@pytest.mark.parametrize("name", FAST)
def test_a_command_does_not_read_its_output(
    name: str, run: Callable[[Command], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat_server(says("River")) as server:  # for those that ask another model
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert run(FAST[name]) == []


SMALL = ("network.stem=8", "network.widths=[16,16]", "epochs=1", "batch_size=16", "precision=fp32")
SETTINGS = tuple(argument for setting in SMALL for argument in ("--set", setting))
SLOW: dict[str, Command] = {
    "train": lambda model, index, patches, out: ("train", index, "--recipe", "flash", *SETTINGS, "--out", out),
    "label-issues": lambda model, index, patches, out: (
        "label-issues", index, "--recipe", "flash", *SETTINGS, "--folds", 2, "--out", out,
    ),
    "tune": lambda model, index, patches, out: (
        "tune", index, "--recipe", "flash", *SETTINGS, "--trials", 2, "--out", out,
    ),
    "experiment": lambda model, index, patches, out: (
        "experiment", "preprocessing", index, "--scratch", "flash", *SETTINGS, "--out", out,
    ),
}  # fmt: skip
# Model files are what a stopped run resumes from: each is loaded from there, trained now or before. In the experiment
# six variants show the patches in different ways to one of them.
RESUMED = {"label-issues": ["fold-1/model.onnx", "fold-2/model.onnx"], "experiment": ["unchanged-seed0/model.onnx"] * 6}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_long_command_does_not_read_its_output(
    name: str, run: Callable[[Command], list[str]], tmp_path: Path
) -> None:
    # Patches that a fold has decoded for itself are scratch, and gone at the end.
    read = [Path(path) for path in run(SLOW[name]) if "decoded" not in Path(path).parts]
    assert ["/".join(path.parts[-2:]) for path in read] == RESUMED.get(name, [])
    assert not any(path.exists() for path in (tmp_path / "results").rglob("decoded"))


def test_the_watch_sees_readings_and_only_those(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "else.txt").write_text("input")
    with reads_below(out) as seen:
        (out / "a.txt").write_text("written")
        with (out / "a.txt").open("a") as file:
            file.write("more")
        (tmp_path / "else.txt").read_text()
        assert seen == []
        (out / "a.txt").read_text()
        (tmp_path / ".out.x7").mkdir()
        (tmp_path / ".out.x7" / "b.txt").write_text("in the temporary sibling")
        (tmp_path / ".out.x7" / "b.txt").read_bytes()
    assert seen == [str(out / "a.txt"), str(tmp_path / ".out.x7" / "b.txt")]
