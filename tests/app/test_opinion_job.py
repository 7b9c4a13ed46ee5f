"""Whom the page asks, and how many pictures at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.app import opinion_job
from swath.app.answers import answer
from swath.app.opinion_job import agreement, cost_text, outcome, prepare, vision_model, why_not
from swath.errors import DataError, SettingError
from swath.inference import Classifier
from swath.opinion import Opinion
from swath.opinion.answers import Outcome
from swath.opinion.cost import Cost


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SWATH_VISION_MODEL"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_says_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = vision_model(tmp_path)
    assert (model.settings.model, model.settings.host) == ("gpt-4o", "api.openai.com")
    assert isinstance(why_not(model), SettingError)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    monkeypatch.setenv("SWATH_VISION_MODEL", "qwen3-vl")
    model = vision_model(tmp_path)
    assert (model.settings.model, model.settings.is_local, why_not(model)) == ("qwen3-vl", True, None)
    monkeypatch.setenv("OPENAI_BASE_URL", "no address")
    with pytest.raises(DataError):
        vision_model(tmp_path)


def test_only_so_many_are_asked_at_a_time(
    tiny: Classifier, tiny_patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opinion_job, "MOST_ASKED", 3)
    answers = answer(tiny, sorted((tiny_patches / "River").iterdir())[:5])
    prepared = prepare(tiny.record, answers, vision_model(tmp_path), only_unsure=False)
    assert prepared.rows == (0, 1, 2)
    assert prepared.estimate.questions == len(prepared.questions) == 3


@pytest.mark.parametrize("name", [name for name in Outcome.__args__ if name != "answered"])
def test_every_outcome_has_words(name: str) -> None:
    said = outcome(Opinion(outcome=name, detail="raise --max-tokens"))
    assert said.endswith(".")
    if name not in opinion_job._DETAILED:
        assert "--" not in said


def test_both_are_compared_and_neither_is_overruled() -> None:
    assert agreement("River", Opinion(outcome="answered", label="River")).startswith("Both say River")
    assert "cannot decide" in agreement("River", Opinion(outcome="answered", label="unsure"))
    assert "no second opinion" in agreement("River", Opinion(outcome="refused"))


def test_an_unknown_price_is_said() -> None:
    said = cost_text(Cost(questions=1, prompt_tokens=100, completion_tokens=60, usd=None, pictures_counted=False))
    assert said.startswith("160 tokens besides those of the pictures")
    assert said.endswith("the price of which is not known here")
