"""``swath experiment`` and ``swath tune`` as a user types them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Swath
from tests.training.runs import SMALL

QUICK = [
    part for change in (*SMALL, "epochs=1", "size=32", "augmentation.crop=null") for part in ("--set", change)
]


@pytest.mark.parametrize("command", ["experiment", "tune"])
def test_help_has_an_example(swath: Swath, command: str) -> None:
    ran = swath(command, "--help")
    assert ran.code == 0
    assert f"swath {command} " in ran.out.partition("Example")[2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("learning-curves", [], "did you mean 'learning-curve'"),
        ("learning-curve", ["--fractions", "0.1;1"], "--fractions 0.1;1 is not a list of numbers"),
        ("learning-curve", ["--fractions", "0,1"], "above 0 and at most 1"),
        ("input-size", ["--sizes", "64.5"], "give whole numbers and commas"),
        ("input-size", ["--sizes", "4", "--weights", "none"], "field 'size'"),
        ("input-size", ["--fractions", "0.1,1"], "takes one share of them"),
        ("learning-curve", ["--set", "epochz=3"], "did you mean 'epochs'"),
        ("high-resolution-first", [], "--first INDEX"),
    ],
)
def test_mistakes_are_one_message(swath: Swath, tiny_index_file, tmp_path, name, options, message) -> None:
    ran = swath("experiment", name, tiny_index_file, "--out", tmp_path / "out", *options)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_experiment_prints_its_paragraph(swath: Swath, tiny_index_file, tmp_path) -> None:
    out = tmp_path / "out"
    ran = swath(
        "experiment",
        "learning-curve",
        tiny_index_file,
        "--fractions",
        "1",
        "--threads",
        "1",
        "--out",
        out,
        *QUICK,
    )
    assert ran.code == 0, ran.err
    assert "What would more labels bring? On 24 patches" in ran.out
    assert (out / "table.csv").is_file()


def test_a_search_prints_what_it_found(swath: Swath, tiny_index_file, tmp_path) -> None:
    ran = swath("tune", tiny_index_file, "--trials", "1", "--threads", "1", "--out", tmp_path / "out", *QUICK)
    assert ran.code == 0, ran.err
    assert "None of 1 recipes tried beat 'fast'" in ran.out
    assert "best.yaml" in ran.out
    ran = swath("tune", tiny_index_file, "--pruner", "x", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "asha, median, none" in ran.err
