from __future__ import annotations

import json

import pytest

from swath.evaluation import SingleLabelEvaluation
from swath.evaluation.results import FEW, warnings_for
from swath.model.record import Estimate

from .cases import evaluation


def test_it_survives_its_own_json():
    found = evaluation()
    assert SingleLabelEvaluation.model_validate_json(found.model_dump_json()) == found


def test_the_terminal_shows_every_number_with_its_interval():
    found = evaluation()
    lines = found.lines()
    assert lines[:2] == ["The model has seen none of these 400 patches.", "model tiny, split test: 400 patches"]
    shown = {line.split()[0]: line for line in lines if line.strip()}
    for name in ("accuracy", "macro-F1"):
        assert shown[name].count("%") == 2
    assert f"{100 * found.accuracy.value:.1f} %" in shown["accuracy"]
    assert f"{100 * found.accuracy.low:.1f}\u2013{100 * found.accuracy.high:.1f} %" in shown["accuracy"]
    lead = found.baselines["majority"].difference.accuracy
    assert f"{100 * lead.value:+.1f} points" in shown["most"]
    for name, scores in found.per_class.items():
        assert shown[name].count("%") == 6
        assert shown[name].split()[1] == str(scores.recall.n)
    assert max(len(line) for line in lines) <= 100
    assert not any(line.startswith("warning") for line in lines)


def test_warnings_come_last():
    lines = evaluation(n=60).lines()
    assert lines[-1].startswith("warning: only 60 patches (fewer than 200)")


def test_hostile_names_cannot_move_the_cursor():
    text = "\n".join(evaluation(("a\x1b[2J\nwarning: none", "b", "c" * 90)).lines())
    assert "\x1b" not in text
    assert "\nwarning: none" not in text
    assert "c" * 40 not in text


def test_without_baselines_none_are_listed():
    assert not any("baseline" in line for line in evaluation(baselines={}).lines())


def lead(low: float) -> dict[str, Estimate]:
    return {"majority": Estimate(value=low + 0.1, low=low, high=low + 0.2, n=400)}


CLEAR = lead(0.3)
POOR = Estimate(value=0.3, low=0.2, high=0.4, n=40)  # of 200: guessing has 0.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": FEW - 1}, "only 199 patches"),
        ({"absent": ("Desert",)}, "no patch of Desert: left out of means over classes"),
        ({"leads": {}}, "carries no baselines"),
        ({"leads": lead(-0.01)}, "not clearly better than the majority baseline (accuracy difference"),
        (
            {"leads": lead(-0.01), "what": "average precision"},
            "majority baseline (average precision difference -0.010 to +0.190)",
        ),
        ({"leads": None, "guesses": {"Dump": (POOR, 40)}}, "not clearly better than guessing at finding Dump"),
    ],
)
def test_each_weakness_is_named_once(change, said):
    plain = {"n": FEW, "absent": (), "leads": CLEAR}
    assert warnings_for(**plain) == ()
    (warning,) = warnings_for(**plain | change)
    assert said in warning


def test_a_label_that_is_found_better_than_by_guessing_is_not_warned_of():
    good = {"Dump": (POOR.model_copy(update={"low": 0.21}), 40), "Absent": (POOR, 0)}
    assert warnings_for(n=FEW, absent=(), leads=None, guesses=good) == ()


def test_hostile_names_cannot_move_the_cursor_from_a_warning():
    name = "a\x1b[2Jx"
    absent = warnings_for(n=FEW, absent=(name,), leads=CLEAR)
    poor = warnings_for(n=FEW, absent=(), leads=None, guesses={name: (POOR, 40)})
    assert len(absent) == len(poor) == 1
    assert "\x1b" not in absent[0] + poor[0]


def test_the_json_states_how_intervals_were_made():
    values = json.loads(evaluation().model_dump_json())
    assert "95 %" in values["intervals"]
    assert "Wilson" in values["intervals"]
