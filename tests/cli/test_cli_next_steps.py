"""Every command ends with what to do now, and that runs as printed; so do the commands of README and docs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from swath.data import read_index
from swath.model import Record, read_model, write_model
from swath.model.file import shipped_models
from tests.cli.conftest import Ran, Swath
from tests.cli.test_options import COMMANDS
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_places, write_scene
from tests.test_output_not_read import SETTINGS, class_map
from tests.tiny import CLASSES, write_tiny_model

ROOT = Path(__file__).parents[2]
LONG = {("train",), ("demo",), ("quickstart",), ("experiment",), ("tune",)}  # proposed, these are read but not run
SMALL = shlex.join(SETTINGS)
# Each with files of the fixture below. What is not here is in SLOW, or in ONLINE: it downloads.
FAST = {
    "assess": "assess classes.tif --reference classes.tif -o assessed",
    "cache clear": "cache clear",
    "cache info": "cache info",
    "compare": "compare tiny.onnx tiny.onnx index.parquet",
    "data audit": "data audit index.parquet",
    "data binary": "data binary index.parquet --positive River -o b.parquet",
    "data fix": "data fix index.parquet -o fixed",
    "data index": "data index patches -o a.parquet",
    "data relabel": "data relabel index.parquet review.csv -o r.parquet",
    "data report": "data report index.parquet -o about",
    "data resample": "data resample index.parquet --factor 2 -o coarse",
    "data split": "data split index.parquet -o s.parquet",
    "doctor": "doctor",
    "errors": "errors tiny.onnx index.parquet -o errors",
    "evaluate": "evaluate tiny.onnx index.parquet -o val",
    "explain": "explain tiny.onnx patches/River -o why",
    "label-issues": "label-issues index.parquet --model tiny.onnx -o issues",
    "map": "map tiny.onnx scene.tif -o m.tif",
    "model calibrate": "model calibrate tiny.onnx index.parquet --false-alarms 0.1 -o c.onnx",
    "model card": "model card tiny.onnx -o card.md",
    "model check": "model check tiny.onnx",
    "model schema": "model schema",
    "model show": "model show tiny.onnx",
    "model stac": "model stac tiny.onnx -o i.json",
    "model threshold": "model threshold river.onnx river.parquet -o t.onnx",
    "predict": "predict tiny.onnx patches/River -o p.csv",
    "robustness": "robustness tiny.onnx index.parquet --patches 4 -o shifts",
    "sample": "sample classes.tif -o drawn.gpkg",
    "suggest": "suggest tiny.onnx scene.tif -o more.gpkg",
    "teach": "teach tiny.onnx --scene scene.tif --places places.csv -o taught.onnx",
}
ALSO = {  # the same commands, where they end in another way
    "assess": "assess classes.tif --reference classes.tif",
    "explain": "explain tiny.onnx patches/River --check -o why",
    "explain an index": "explain tiny.onnx index.parquet --check --limit 10 -o why",
    "teach": "teach tiny.onnx --patches index.parquet -o taught.onnx",
}
SLOW = {
    "demo": "demo --no-open",
    "experiment": f"experiment preprocessing index.parquet --scratch flash {SMALL} -o made",
    "networks": "networks resnet18",
    "quickstart": f"quickstart patches --no-open {SMALL}",
    "recipes": "recipes",
    "report": "report tiny.onnx index.parquet --quick -o report",
    "train": f"train index.parquet --recipe flash {SMALL} -o run",
    "tune": f"tune index.parquet --recipe flash {SMALL} --trials 2 -o search",
    "weights add": "weights add weights.safetensors --license mit",
    "weights list": "weights list",
}
ONLINE = {"data get", "weights get"}
FILLED_IN = {"sample", "suggest"}  # what comes next needs labels that a person has to give first


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files that take a moment to make."""
    folder = tmp_path_factory.mktemp("models")
    remembering_model(folder / "tiny.onnx")
    made = read_model(write_tiny_model(folder / "raw.onnx", ("Residential", "River"), task="binary"))
    record = made.record.model_dump() | {"baselines": None}
    record["classes"][0]["name"] = "not River"
    write_model(folder / "river.onnx", made.graph, Record.model_validate(record))
    return folder


@pytest.fixture
def here(
    tmp_path: Path, models: Path, tiny_patches: Path, tiny_index_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with small files of every kind, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patches").symlink_to(tiny_patches)
    for file in ("tiny.onnx", "river.onnx"):
        shutil.copyfile(models / file, file)
    shutil.copyfile(tiny_index_file, "index.parquet")
    table = checkerboard(CLASSES)
    write_scene(tmp_path / "scene.tif", table)
    write_places(tmp_path / "places.csv", middles(table))
    shutil.copyfile(class_map(tiny_patches), "classes.tif")
    return tmp_path


def parse(words: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The command that `words` call, and its arguments by the type that they have."""
    name = next(name for name in COMMANDS if list(name) == words[: len(name)])
    return name, COMMANDS[name].make_context(" ".join(name), words[len(name) :]).params


def goes_on(swath: Swath, ran: Ran, *, run: bool = True) -> None:
    """The last line says what to do now: a command whose inputs are there and that runs, or a file to look at."""
    assert ran.code == 0, ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith("next: "), last
    if not last.startswith("next: swath "):
        assert any(Path(word.strip(",;")).exists() for word in last.split()), last
        return
    words = shlex.split(last.partition("  (")[0])[2:]
    if words[-1] != "--help":
        name, values = parse(words)
        for option in COMMANDS[name].params:
            value = values[option.name]
            if "--out" not in option.opts and isinstance(value, Path | list):
                for path in value if isinstance(value, list) else [value]:
                    assert not isinstance(path, Path) or path.exists(), last
        assert "model" not in values or values["model"] in shipped_models() or Path(values["model"]).exists(), last
        run = run and name not in LONG
    if not run:
        return
    followed = swath(*words)
    assert followed.code == 0, (last, followed.err)


def prepare(swath: Swath, name: str) -> None:
    """Make what one command alone needs."""
    if name == "data relabel":
        Path("review.csv").write_text(f"path,verdict\n{read_index(Path('index.parquet')).paths[0]},drop\n")
    if name == "model threshold":
        made = swath("data", "binary", "index.parquet", "--positive", "River", "-o", "river.parquet", "-q")
        assert made.code == 0
    if name == "weights add":
        save_file({"a": np.ones(3, np.float32)}, "weights.safetensors")


def test_every_command_is_here() -> None:
    assert {" ".join(words) for words in COMMANDS} == FAST.keys() | SLOW.keys() | ONLINE


@pytest.mark.parametrize("name", FAST)
def test_it_says_what_to_do_now(swath: Swath, here: Path, name: str) -> None:
    prepare(swath, name)
    goes_on(swath, swath(*shlex.split(FAST[name])), run=name not in FILLED_IN)


@pytest.mark.parametrize("name", ALSO)
def test_it_says_so_in_other_cases(swath: Swath, here: Path, name: str) -> None:
    goes_on(swath, swath(*shlex.split(ALSO[name])))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_long_one_says_so_too(swath: Swath, here: Path, name: str) -> None:
    prepare(swath, name)
    goes_on(swath, swath(*shlex.split(SLOW[name])))
