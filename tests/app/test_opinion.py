"""The page Second opinion, without a browser, against a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.opinion.servers import (
    FAILING,
    KEY,
    NO_MODEL,
    NO_QUOTA,
    Answer,
    Behavior,
    ChatServer,
    by_color,
    chat_server,
    completion,
    in_turn,
    limited,
    says,
    wrong_key,
)  # fmt: skip


def _script() -> None:
    import streamlit as st

    from swath.app import opinion
    from swath.app.answers import answer
    from swath.app.session import classifier, workspace

    if "begun" not in st.session_state:
        workspace.clear()  # of the test before
        st.session_state["begun"] = True
    if st.session_state.get("files") and workspace().answers is None:  # as the page Classify leaves them
        workspace().answers = answer(classifier(), st.session_state["files"])
    opinion.page()
    st.session_state["job"] = workspace().opinion


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SWATH_VISION_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("swath.opinion.prompt.SIDE", 64)  # enlarging and compressing takes most of the time


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tiny_patches: Path) -> Any:
    """A page on which pictures were classified and a server was asked; the server is there as long as the block."""

    def made(server: ChatServer, labels: tuple[str, ...] = ("River",)) -> AppTest:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        page = classified(tiny_patches, labels)
        page.button(key="ask").click().run()
        page.session_state["job"].wait(60)
        return page.run()

    return made


def classified(patches: Path, labels: tuple[str, ...]) -> AppTest:
    """The page after pictures were classified."""
    page = AppTest.from_function(_script, default_timeout=120)
    page.session_state["files"] = [sorted((patches / label).iterdir())[0] for label in labels]
    return page.run()


def texts(page: AppTest) -> str:
    """All that the page says."""
    elements = (*page.markdown, *page.caption, *page.subheader, *page.info, *page.error, *page.warning, *page.success)
    return "\n".join(str(element.value) for element in elements).replace("\\", "")


def test_without_a_key_it_says_what_is_needed(app_folder: Path) -> None:
    page = AppTest.from_function(_script, default_timeout=120).run()
    assert not page.exception
    said = texts(page)
    assert "Nobody can be asked yet" in said
    assert "OPENAI_API_KEY" in said
    assert "What you will see" in said
    assert not page.button, "there is nothing to press"


def test_with_a_key_it_asks_for_pictures_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    page = AppTest.from_function(_script, default_timeout=120).run()
    assert not page.exception
    assert "First choose pictures" in texts(page)
    assert "gpt-4o at api.openai.com" in texts(page)


def test_what_would_leave_the_machine_and_what_it_costs_is_said_before(
    monkeypatch: pytest.MonkeyPatch, tiny_patches: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    page = classified(tiny_patches, ("River", "Forest"))
    assert not page.exception
    said = texts(page)
    assert "2 pictures go to gpt-4o at api.openai.com" in said
    assert "USD" in said
    assert "These pictures leave this machine" in said
    assert KEY not in said


def test_both_answers_stand_next_to_each_other(ask: Callable[..., AppTest], app_folder: Path) -> None:
    with chat_server(lambda request: says(by_color(request), reason=f"Blue and *long*, {KEY}.")) as server:
        page = ask(server, ("River", "Forest", "SeaLake"))
        assert not page.exception
        said = texts(page)
        assert "3 of 3 pictures answered" in said
        assert "80 % sure" in said
        assert "Blue and *long*, [key]." in said
        assert said.count("Both say") + said.count("They disagree") == 3
        assert "It took 1,620 tokens" in said
        assert "leave this machine" not in said, "the server is on this one"
        assert KEY not in said
        assert not [file for file in app_folder.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]
        # The same pictures again: nothing is sent, nothing is paid.
        assert "nothing is paid again" in said
        page.button(key="ask").click().run()
        page.session_state["job"].wait(60)
        assert len(server.requests) == 3
        assert "asked before" in texts(page.run())


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (completion(None, refusal="I cannot help with that."), "It declined to answer. I cannot help with that."),
        (says("Lava"), "It named something that is none of the classes. Lava is none of the classes."),
        (completion("It is a river."), "It answered in free words instead of naming a class."),
        (completion("", finish_reason="length"), "Its answer was cut off"),
        (says("unsure"), "It cannot decide"),
        (limited("0"), "too many requests at the moment"),
        (FAILING, "Its server failed to answer"),
        (NO_QUOTA, "no credit left"),
        (NO_MODEL, "has no model"),
        (wrong_key, "does not accept the key"),
    ],
)
def test_every_failure_is_said_in_words(ask: Callable[..., AppTest], behave: Behavior | Answer, said: str) -> None:
    with chat_server(behave) as server:
        page = ask(server)
        assert not page.exception
        shown = texts(page)
        assert said in shown
        assert "--" not in shown, "no options of commands"
        assert KEY not in shown


def test_a_server_that_does_not_answer_in_time_is_said(
    ask: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from swath.opinion import OpinionSettings

    monkeypatch.setattr("swath.app.opinion_job.OpinionSettings", lambda **given: OpinionSettings(**given, timeout=0.2))
    with chat_server(Answer(hang=True)) as server:
        monkeypatch.setattr("swath.opinion.client.ATTEMPTS", 1)
        assert "gave no answer in time" in texts(ask(server))


def test_it_can_be_stopped(monkeypatch: pytest.MonkeyPatch, tiny_patches: Path) -> None:
    with chat_server(in_turn(says("River"), Answer(hang=True))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        page = classified(tiny_patches, ("River", "Forest"))
        page.button(key="ask").click().run()
        assert "Stop asking" in [button.label for button in page.button]
        page.button(key="stop asking").click().run()
        assert not page.exception
        assert "You stopped it" in texts(page)
    page.session_state["job"].wait(60)


def test_nobody_is_asked_where_the_classifier_is_sure(monkeypatch: pytest.MonkeyPatch, tiny_patches: Path) -> None:
    with chat_server(says("River")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        page = classified(tiny_patches, ("Forest",))
        page.segmented_control(key="asked about").set_value("Only where the classifier is unsure").run()
        assert not page.exception
        assert "nothing to ask" in texts(page)
        assert page.button(key="ask").disabled
        assert not server.requests
