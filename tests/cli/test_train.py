"""``swath experiment`` and ``swath tune`` as a user types them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Swath
from tests.training.runs import SMALL

QUICK = [part for change in (*SMALL, "epochs=1", "size=32", "augmentation.crop=null") for part in ("--set", change)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("learning-curves", [], "'learning-curve'"),
        ("learning-curve", ["--fractions", "0.1;1"], "as in --fractions 0.1,1"),
        ("learning-curve", ["--fractions", "0,1"], "above 0 and at most 1"),
        ("input-size", ["--sizes", "64.5"], "as in --sizes 32,64"),
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
        "experiment", "learning-curve", tiny_index_file, "--fractions", "1", "--threads", "1", "--out", out, *QUICK
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
    assert "'asha', 'median', 'none'" in ran.err


def test_named_networks_are_a_table(swath: Swath) -> None:
    ran = swath("networks", "resnet18", "vit_small", "--size", "96", "--bands", "13")
    assert ran.code == 0, ran.err
    header, first, second = ran.out.splitlines()
    assert "MACs at 96 px" in header
    assert first.split()[:2] == ["resnet18", "11.21"]
    assert first.endswith("32 px")
    assert "Grad-CAM 6 x 6" in second
    assert second.endswith("multiples of 16")
    assert header.index("class maps") == second.index("Grad-CAM")


def test_all_of_them_are_listed_and_those_that_do_not_fit_say_why(swath: Swath) -> None:
    ran = swath("networks", "--size", "24")
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines()[1:]}
    assert "resnet50 needs patches of 32 px at least" in lines["resnet50"]
    assert "tiles of 16 x 16" in lines["vit_small"]
    assert "exact" in lines["patchnet"]


def test_a_network_asked_for_by_name_must_exist(swath: Swath) -> None:
    ran = swath("networks", "resnet51")
    assert ran.code == 2
    assert "did you mean resnet50" in ran.err
    ran = swath("networks", "")
    assert ran.code == 2
    assert "networks: field 'name'" in ran.err
