"""Every reply is read as what it is, and none fails."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.opinion.answers import MISSING, Reply, missing, read_reply

CLASSES = ("AnnualCrop", "Forest", "Sea lake")
GOOD = {"label": "Forest", "confidence": 0.75, "reason": "Dark and even."}


def test_an_answer_as_it_was_asked_for() -> None:
    found = read_reply(Reply(content=json.dumps(GOOD), prompt_tokens=7, completion_tokens=3), CLASSES)
    assert (found.outcome, found.label, found.confidence, found.reason) == ("answered", *GOOD.values())
    assert (found.detail, found.prompt_tokens, found.completion_tokens, found.cached) == ("", 7, 3, False)
    assert found.names_a_class
    unsure = read_reply(Reply(content=json.dumps(GOOD | {"label": "unsure"})), CLASSES)
    assert (unsure.outcome, unsure.label, unsure.names_a_class) == ("answered", "unsure", False)


@pytest.mark.parametrize(
    ("reply", "outcome", "says"),
    [
        (Reply(refusal="I cannot help with that."), "refused", "I cannot help with that."),
        (Reply(content=json.dumps(GOOD), refusal="No."), "refused", "No."),
        (Reply(content="", finish_reason="content_filter"), "refused", "content filter"),
        (Reply(content='{"label": "For', finish_reason="length"), "truncated", "--max-tokens"),
        (Reply(content="", finish_reason="length"), "truncated", "--max-tokens"),
        (Reply(content=None), "empty", "no text"),
        (Reply(content=" \n "), "empty", "no text"),
        (Reply(content="It looks like a forest."), "no JSON", "It looks like a forest."),
        (Reply(content='{"class": "Forest"}'), "no JSON", "class"),
        (Reply(content="[1, 2"), "no JSON", "[1, 2"),
        (Reply(content='{"label": "Glacier", "confidence": 1}'), "other label", "Glacier is none of the classes"),
        (Reply(content='{"label": ["Forest"]}'), "other label", "none of the classes"),
        (Reply(content='{"label": null}'), "other label", "none of the classes"),
    ],
)
def test_what_is_no_answer_is_shown_as_what_it_is(reply: Reply, outcome: str, says: str) -> None:
    found = read_reply(reply, CLASSES)
    assert found.outcome == outcome
    assert says in found.detail
    assert (found.label, found.confidence, found.reason) == ("", None, "")
    assert found.shown == f"({outcome})"
    assert not found.names_a_class
    assert not found.is_missing


@pytest.mark.parametrize(
    "content",
    [
        "Sure! Here it is:\n```json\n{}\n```\nAnything else?",
        '<think>Perhaps {{"label": "AnnualCrop"}}? No.</think>{}',
        "The set {{forest}} fits. {}",
    ],
)
def test_text_around_the_json_is_allowed_and_told(content: str) -> None:
    text = content.format(json.dumps(GOOD)) if "{{" in content else content.replace("{}", json.dumps(GOOD))
    found = read_reply(Reply(content=text), CLASSES)
    assert (found.label, found.detail) == ("Forest", "text around the JSON")


@pytest.mark.parametrize("said", ["forest", "FOREST", " Forest "])
@pytest.mark.parametrize(("name", "meant"), [("Annual Crop", "AnnualCrop"), ("sea-lake", "Sea lake")])
def test_case_and_blanks_of_a_label_do_not_matter(said: str, name: str, meant: str) -> None:
    assert read_reply(Reply(content=json.dumps({"label": said})), CLASSES).label == "Forest"
    assert read_reply(Reply(content=json.dumps({"label": name})), CLASSES).label == meant


def test_a_label_that_may_mean_two_classes_means_none() -> None:
    assert read_reply(Reply(content='{"label": "a-b"}'), ("a b", "ab")).outcome == "other label"


@pytest.mark.parametrize("confidence", ["85 %", 85, -0.1, True, None, float("inf"), float("nan"), [0.5]])
def test_a_confidence_that_is_none_is_left_out_and_told(confidence: object) -> None:
    found = read_reply(Reply(content=json.dumps(GOOD | {"confidence": confidence})), CLASSES)
    assert (found.label, found.confidence) == ("Forest", None)
    assert "not from 0 to 1" in found.detail


def test_a_reason_is_one_line_of_visible_letters() -> None:
    found = read_reply(Reply(content=json.dumps(GOOD | {"reason": "Dark\n\x1b[31mred\x07 " + "x" * 999})), CLASSES)
    assert found.reason.isprintable()
    assert len(found.reason) == 300


def test_who_was_not_heard_is_missing() -> None:
    assert all(missing(outcome, "why").is_missing for outcome in MISSING)


@given(st.text(), st.sampled_from(["stop", "length", None]))
def test_any_text_is_read(content: str, reason: str | None) -> None:
    found = read_reply(Reply(content=content, finish_reason=reason), CLASSES)
    assert found.outcome in {"answered", "no JSON", "empty", "truncated", "other label"}
    assert (found.outcome == "answered") == bool(found.label)


def test_deep_nesting_is_read() -> None:
    assert read_reply(Reply(content='{"a":' * 4000), CLASSES).outcome == "no JSON"


@given(
    st.lists(st.text("abcXYZ 0123", min_size=1).filter(str.strip), min_size=1, max_size=6, unique=True),
    st.integers(0, 5),
    st.floats(0, 1),
    st.text(),
    st.text().filter(lambda text: "{" not in text),
    st.text().filter(lambda text: "{" not in text),
)
def test_a_name_as_it_stands_in_the_list_is_always_found(
    classes: list[str], place: int, confidence: float, reason: str, before: str, after: str
) -> None:
    label = classes[place % len(classes)]
    content = before + json.dumps({"label": label, "confidence": confidence, "reason": reason}) + after
    found = read_reply(Reply(content=content), classes)
    assert (found.outcome, found.label, found.confidence) == ("answered", label, confidence)
