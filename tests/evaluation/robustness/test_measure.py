from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from swath.errors import OutputError, SettingError
from swath.evaluation.intervals import mean_difference, mean_share
from swath.evaluation.predictions import sample_rows
from swath.evaluation.robustness import SUITE, RobustnessResult, ShiftResult, robustness, robustness_section
from swath.evaluation.robustness.measure import condition, levels_chart, sentences
from swath.evaluation.seen import SeenCount
from swath.inference import load
from swath.pages.html import write_report
from tests.evaluation.cases import Page
from tests.tiny import input_spec, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load(tiny_model, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def made(classifier, tiny_index, tmp_path_factory):
    out = tmp_path_factory.mktemp("robustness") / "out"
    seen = []
    result = robustness(
        classifier, tiny_index, out=out, patches=20, progress=lambda *a, note="": seen.append((*a, note))
    )
    return out, result, seen


def test_the_files_hold_the_result(made):
    out, result, _ = made
    assert {p.name for p in out.iterdir()} == {"index.html", "robustness.json", "robustness.csv", "robustness.svg"}
    assert RobustnessResult.model_validate_json((out / "robustness.json").read_text()) == result
    with (out / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 + 5 * len(SUITE)
    by = {(r["shift"], int(r["severity"])): float(r["accuracy"]) for r in rows}
    assert by["none", 0] == pytest.approx(result.clean.accuracy.value)
    assert by["haze", 5] == pytest.approx(result.shifts["haze"].severities[4].accuracy.value)


def test_the_score_is_the_mean_over_shifts_and_levels(made):
    _, result, _ = made
    values = [c.accuracy.value for shift in result.shifts.values() for c in shift.severities]
    assert result.score.value == pytest.approx(np.mean(values))
    assert result.drop.value == pytest.approx(result.clean.accuracy.value - np.mean(values))
    for shift in result.shifts.values():
        mean = np.mean([c.accuracy.value for c in shift.severities])
        assert shift.drop.value == pytest.approx(result.clean.accuracy.value - mean)
        assert shift.drop.low <= shift.drop.value <= shift.drop.high


def test_a_model_that_goes_by_color_suffers_from_swapped_bands_and_not_from_blur(made):
    _, result, _ = made
    assert result.shifts["band_swap"].severities[-1].accuracy.value < result.clean.accuracy.value - 0.2
    assert result.shifts["blur"].drop.value == pytest.approx(0, abs=0.1)
    assert result.ordered[-1][1].drop.value <= result.ordered[0][1].drop.value


def test_the_same_seed_gives_the_same_result(made, classifier, tiny_index, tmp_path):
    _, result, _ = made
    assert robustness(classifier, tiny_index, out=tmp_path / "again", patches=20) == result


def test_progress_reaches_the_end(made):
    _, _, seen = made
    stages = [(done, total) for stage, done, total, _ in seen if stage == "robustness"]
    assert stages[-1] == (80, 80)
    assert [done for done, _ in stages] == sorted(done for done, _ in stages)


def test_the_page_says_it_in_words(made):
    out, result, _ = made
    page = Page((out / "index.html").read_text())
    assert "accuracy falls from" in page.text
    assert "band swap" in page.text
    assert len(page.all("img", "src")) == len(SUITE)  # a strip for each
    assert (out / "robustness.svg").read_bytes() == levels_chart(result).to_svg()
    assert all(source.startswith("data:") for source in page.all("img", "src"))
    assert any("fewer than 200" in w for w in result.warnings)
    assert "fewer than 200" in page.text


def test_another_report_can_embed_the_section(made, tmp_path):
    out, result, _ = made
    write_report(tmp_path / "run.html", [robustness_section(result, out)], title="A run")
    assert "Under other conditions" in Page((tmp_path / "run.html").read_text()).text


def test_lines_for_the_terminal(made):
    _, result, _ = made
    text = "\n".join(result.lines())
    assert "mean over shifts and severities" in text
    assert "band swap" in text


def test_access_to_test_is_written_down(classifier, tiny_index, tmp_path):
    robustness(classifier, tiny_index, out=tmp_path / "run" / "robustness", split="test", patches=4)
    (line,) = (tmp_path / "run" / "test_accesses.jsonl").read_text().splitlines()
    assert json.loads(line)["n"] == 4


def test_bad_settings_are_one_message(classifier, tiny_index, tmp_path):
    with pytest.raises(SettingError, match="--patches -1"):
        robustness(classifier, tiny_index, out=tmp_path / "a", patches=-1)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "there").touch()
    with pytest.raises(OutputError):
        robustness(classifier, tiny_index, out=tmp_path / "b", patches=4)
    spec = input_spec(data_type="uint16")
    sixteen = load(write_tiny_model(tmp_path / "sixteen.onnx", spec=spec), engine="onnxruntime", threads=1)
    with pytest.raises(SettingError, match="8-bit"):
        robustness(sixteen, tiny_index, out=tmp_path / "c")


def test_patches_are_drawn_so_that_they_stand_for_the_split():
    labels = np.array([0] * 930 + [1] * 70)
    rows = sample_rows(1000, 500, seed=0)
    assert len(set(rows.tolist())) == 500
    assert rows.tolist() == sorted(rows.tolist())
    assert 20 <= labels[rows].sum() <= 50  # of 35; as many of each class would be 70
    assert set(sample_rows(1000, 20, seed=0).tolist()) < set(rows.tolist())
    assert sample_rows(125, 500, seed=0).tolist() == list(range(125))


def test_a_condition_counts_unsure_answers():
    found = condition(np.array([True, False, True]), np.array([0.9, 0.4, 0.5]), severity=2, strength="20 m")
    assert (found.accuracy.value, found.accuracy.n) == (pytest.approx(2 / 3), 3)
    assert found.unsure.value == pytest.approx(1 / 3)
    assert found.confidence == pytest.approx(0.6)


def stressed(n: int) -> RobustnessResult:
    """Three patches of a hundred turn wrong under a shift and three turn right: no drop is seen."""
    clean = np.arange(n) % 100 < 90
    shifted = clean.copy()
    shifted[np.isin(np.arange(n) % 100, (0, 1, 2))] = False
    shifted[np.isin(np.arange(n) % 100, (97, 98, 99))] = True
    drop = mean_difference(clean.astype(float) - shifted)
    sure = np.full(n, 0.9)
    severities = tuple(condition(shifted, sure, severity=k, strength="s") for k in range(1, 6))
    return RobustnessResult(
        model="tiny",
        split="val",
        engine="e",
        fingerprint="f",
        n=n,
        seen=SeenCount(patches=n),
        seed=0,
        clean=condition(clean, sure, severity=0, strength="none"),
        shifts={"gain": ShiftResult(what="brighter", severities=severities, drop=drop)},
        score=mean_share(shifted.astype(float)),
        drop=drop,
        skipped={},
        warnings=(),
    )


@pytest.mark.parametrize(("n", "harmless"), [(100, False), (20_000, True)])
def test_a_shift_costs_next_to_nothing_only_where_enough_patches_say_so(n, harmless):
    said = " ".join(sentences(stressed(n)))
    assert ("Next to nothing (under 1 point): gain." in said) == harmless
