"""What holds for every command: help that reads well, options with one default, ``--json``, ``-q``, completion."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from swath.cli import app
from swath.cli.options import EngineName, SplitName, _printing, _Screen, folded, next_step, unused
from tests.cli.conftest import Swath


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, with the words that call it."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_and_has_an_example_to_copy(
    swath: Swath, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = swath(*words, "-h")
    assert shown.code == 0
    assert shown.out == swath(*words, "--help").out
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 80
    example = next(n for n, line in enumerate(lines) if line.strip().startswith("Example: swath "))
    assert lines[example].split(": ")[1].startswith("swath " + " ".join(words))
    assert lines[example + 1] == ""  # in one line, to be copied
    assert "--json" in shown.out
    assert "-q, --quiet" in shown.out


def test_commands_stand_in_groups(swath: Swath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = swath("--help").out
    assert swath().out == shown
    for heading, command in (("Data", "data"), ("Train", "train"), ("Evaluate", "errors"), ("Train", "weights")):
        section = next(part for part in shown.split("\n\n") if part.startswith(f"{heading}:"))
        assert f"\n  {command} " in section
    assert "..." not in shown.partition("COMMAND [ARGS]...")[2]  # no sentence is cut off


def test_an_option_has_one_default() -> None:
    defaults: dict[str, set[Any]] = defaultdict(set)
    for command in COMMANDS.values():
        for option in command.params:
            if option.param_type_name == "option" and option.default is not None:
                defaults[option.opts[-1]].add(option.default)
    several = {name: values for name, values in defaults.items() if len(values) > 1}
    # Places to label in a sitting, a sample to measure a map with, and one that another model labels; an image by
    # itself, and a scene with its statistics; the service and the page, which may run at once.
    assert several == {"--n": {20, 100, 200}, "--port": {8000, 8501}, "--rescale": {"off", "auto"}}


def test_every_output_has_a_short_name() -> None:
    outs = [option.opts for c in COMMANDS.values() for option in c.params if "--out" in option.opts]
    assert len(outs) > 15
    assert all("-o" in names for names in outs)


def test_choices_are_those_of_the_library() -> None:
    from swath.data.splits import SplitBy
    from swath.experiments.catalog import experiment_names
    from swath.inference.choice import AUTO, ENGINES

    def choices(*words: str, name: str) -> set[str]:
        option = next(option for option in COMMANDS[words].params if option.name == name)
        return set(option.type_descriptor.choices)

    assert set(get_args(EngineName)) == {AUTO, *ENGINES}
    assert choices("data", "split", name="by") == set(get_args(SplitBy))
    assert choices("experiment", name="name") == set(experiment_names())
    assert choices("robustness", name="split") == set(get_args(SplitName)) == {"train", "val", "test"}


def test_json_is_all_that_is_printed(
    swath: Swath, tiny_model: Path, tiny_patches: Path, tiny_index_file: Path, tmp_path: Path
) -> None:
    def result(*arguments: object) -> Any:
        ran = swath(*arguments, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    table, index = tmp_path / "p.csv", tmp_path / "index.parquet"
    assert result("predict", tiny_model, tiny_patches / "River", "-o", table)["rows"] == 30
    assert result("data", "index", tiny_patches, "-o", index) == {
        "index": str(index), "patches": 120, "classes": ["Forest", "Residential", "River", "SeaLake"],
        "splits": {"none": 120}, "skipped": [], "left_out": [], "notes": [],
    }  # fmt: skip
    assert result("data", "audit", index)["patches"] == 120
    assert result("data", "split", index, "-o", index, "--overwrite")["splits"].keys() == {"train", "val", "test"}
    assert result("evaluate", tiny_model, tiny_index_file, "-o", tmp_path / "val")["split"] == "val"
    assert result("compare", tiny_model, tiny_model, tiny_index_file)["n"] == 24
    assert result("model", "show", tiny_model)["name"] == "tiny"
    assert result("model", "check", tiny_model)["patches"] == 4
    assert "fast" in result("recipes")


def test_a_failed_check_prints_its_result_too(swath: Swath, tiny_patches: Path, tmp_path: Path) -> None:
    for side in ("train", "test"):
        for label in ("Forest", "River"):
            (tmp_path / "set" / side / label).mkdir(parents=True)
            for k in (1, 2, 3):
                patch = tiny_patches / label / f"{label}_{k}.png"
                (tmp_path / "set" / side / label / f"{k}.png").write_bytes(patch.read_bytes())
    index = tmp_path / "index.parquet"
    assert swath("data", "index", tmp_path / "set", "-o", index).code == 0
    ran = swath("data", "audit", index, "--strict", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["patches"] == 12


def test_quiet_leaves_only_the_result(swath: Swath, tiny_patches: Path, tmp_path: Path) -> None:
    loud = swath("data", "index", tiny_patches, "-o", tmp_path / "a.parquet")
    quiet = swath("data", "index", tiny_patches, "-o", tmp_path / "b.parquet", "-q")
    assert "next: " in loud.err
    assert "next: swath data audit" in loud.err
    assert quiet.err == ""
    assert quiet.out == loud.out.replace("a.parquet", "b.parquet")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["predict", "eur"], {"eurosat"}),
        (["train", "--recipe", "fl"], {"flash"}),
        (["predict", "--engine", "open"], {"openvino", "openvino-bf16"}),
        (["data", "get", ""], {"eurosat-rgb", "scenes4"}),
        (["data", "index", "e"], {"eurosat-mini"}),
        (["label"], {"label-issues"}),
    ],
)
def test_completion_offers_names_without_torch(typed: list[str], offered: set[str]) -> None:
    script = (
        "import sys\nfrom swath.cli import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    words = ["swath", *typed]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_SWATH_COMPLETE": "complete_bash"}
    command = ["env", *(f"{name}={value}" for name, value in asked.items()), sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) == offered
    assert ran.stderr == "False\n"


def test_prose_is_broken_between_words_on_a_terminal_and_whole_in_a_file(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = io.StringIO()
    text = "  a sentence that is longer than the terminal is wide\nand a row"
    _Screen(screen).write(text)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == " ".join(text.split())
    assert lines[1].startswith("  ")


def test_a_proposed_output_is_none_that_exists(tmp_path: Path) -> None:
    name = tmp_path / "mine.onnx"
    assert unused(name) == name
    name.touch()
    (tmp_path / "mine-2.onnx").touch()
    assert unused(name) == tmp_path / "mine-3.onnx"


def test_a_path_is_never_broken(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/a-folder/with-hyphens/" + "x" * 60 + ".tif"
    assert path in folded(f"the picture of the map is {path}").splitlines()


def test_what_is_said_of_a_name_stays_in_its_column(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = folded("flash   The small network for as short as makes sense, in half a minute").splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("flash   The small")
    assert lines[1].startswith(" " * 8 + "as makes sense")


class Terminal(io.StringIO):
    """What a command writes to a terminal."""

    def isatty(self) -> bool:
        return True


def test_notes_are_broken_between_words_and_the_next_command_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        typer.echo("warning: a sentence that is longer than the terminal is wide", err=True)
        next_step("map", "eurosat", "a/scene with a long name.tif", "--out", "map.tif")

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr", screen := Terminal())
    _printing(command)(quiet=False, json=False)
    *prose, last = screen.getvalue().splitlines()
    assert len(prose) == 2
    assert max(map(len, prose)) <= 40
    assert last == "next: swath map eurosat 'a/scene with a long name.tif' --out map.tif"
