"""Asking a server: each of its failures ends as what it is, nothing is asked twice, and the key is nowhere."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from swath.errors import DataError, MissingExtraError, SettingError, SwathError
from swath.opinion import OpinionSettings, VisionModel
from swath.opinion.client import ATTEMPTS, GIVE_UP
from tests.opinion.conftest import question
from tests.opinion.servers import (
    FAILING,
    KEY,
    NO_MODEL,
    NO_QUOTA,
    NO_SCHEMAS,
    Answer,
    Behavior,
    ChatServer,
    Request,
    chat_server,
    completion,
    error,
    in_turn,
    limited,
    says,
    wrong_key,
)

Serve = Callable[[Behavior | Answer], ChatServer]
AskAt = Callable[..., VisionModel]


def test_an_answer_comes_back(serve: Serve, ask_at: AskAt) -> None:
    server = serve(says("Forest", 0.9))
    model = ask_at(server)
    (found,) = model.ask([question()])
    assert (found.outcome, found.label, found.confidence, found.detail) == ("answered", "Forest", 0.9, "")
    assert (found.prompt_tokens, found.completion_tokens, model.requests) == (500, 40, 1)
    (sent,) = server.requests
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.png == question().png
    assert sent.text == question().text
    assert (sent.body["model"], sent.body["temperature"], sent.body["max_completion_tokens"]) == ("gpt-4o", 0, 300)
    assert sent.body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (completion(None, refusal="I can't assist with that."), "refused"),
        (completion(None, finish_reason="content_filter"), "refused"),
        (error(400, "The response was filtered", code="content_filter"), "refused"),
        (completion("It is probably a river."), "no JSON"),
        (says("Glacier"), "other label"),
        (completion('{"label": "For', finish_reason="length"), "truncated"),
        (completion(""), "empty"),
        (completion(None), "empty"),
    ],
)
def test_what_is_no_answer_is_told_and_asked_once(serve: Serve, ask_at: AskAt, answer: Answer, outcome: str) -> None:
    server = serve(answer)
    (found,) = ask_at(server).ask([question()])
    assert found.outcome == outcome
    assert found.detail
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "says_so"),
    [
        (limited(), "rate limited", "answers 429"),
        (FAILING, "server error", "answers 500"),
        (error(503, "Slow down", retry_after="0"), "server error", "answers 503"),
        (Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}), "server error", "answers 502"),
        (Answer(drop=True), "server error", "broke off"),
        (Answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}), "server error", "no chat completion"),
        (Answer(200, b'{"choices": ['), "server error", "no chat completion"),
        (Answer(200, {"choices": []}), "server error", "no chat completion"),
        (Answer(200, {"object": "list"}), "server error", "no chat completion"),
        (Answer(200, ["a"]), "server error", "no chat completion"),
        (Answer(200, {"choices": [{"message": None}]}), "server error", "no chat completion"),
    ],
)
def test_a_failing_server_is_asked_again_and_then_told(
    serve: Serve, ask_at: AskAt, slept: list[float], answer: Answer, outcome: str, says_so: str
) -> None:
    server = serve(answer)
    model = ask_at(server)
    (found,) = model.ask([question()])
    assert (found.outcome, found.is_missing) == (outcome, True)
    assert says_so in found.detail
    assert found.detail.endswith(f", {ATTEMPTS} times")
    assert len(server.requests) == model.requests == ATTEMPTS
    assert len(slept) == ATTEMPTS - 1
    server.behave = lambda _request: says("Forest")  # what was not heard is not kept
    assert ask_at(server).ask([question()])[0].label == "Forest"


def test_a_time_out(serve: Serve, ask_at: AskAt) -> None:
    server = serve(Answer(hang=True))
    (found,) = ask_at(server, timeout=0.2).ask([question()])
    assert (found.outcome, found.is_missing) == ("timed out", True)
    assert "no answer within 0.2 s" in found.detail


def test_it_waits_as_long_as_the_server_asks(serve: Serve, ask_at: AskAt, slept: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=110), usegmt=True)
    notes: list[str] = []

    def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
        notes.extend([note] if note else [])

    server = serve(in_turn(limited("7"), limited(later), limited(None), says("River")))
    (found,) = ask_at(server).ask([question("River")], progress=progress)
    assert found.label == "River"
    assert slept[0] == 7
    assert 20 < slept[1] <= 110
    assert slept[2] == 4
    assert "answers 429: waiting 7 s" in notes[0]


def test_a_long_wait_is_told_instead(serve: Serve, ask_at: AskAt, slept: list[float]) -> None:
    server = serve(limited("3600"))
    (found,) = ask_at(server).ask([question()])
    assert found.detail.endswith("answers 429, and asks to wait 60 minutes")
    assert (len(server.requests), slept) == (1, [])


def test_a_server_that_is_down_is_left_alone(serve: Serve, ask_at: AskAt) -> None:
    server = serve(FAILING)
    found = ask_at(server).ask([question(seed=seed) for seed in range(GIVE_UP + 4)])
    assert [one.outcome for one in found] == ["server error"] * GIVE_UP + ["not asked"] * 4
    assert len(server.requests) == GIVE_UP * ATTEMPTS
    assert f"{GIVE_UP} patches in a row had no answer" in found[-1].detail


def test_no_more_requests_than_allowed(serve: Serve, ask_at: AskAt) -> None:
    server = serve(in_turn(says("Forest"), FAILING, says("Forest")))
    questions = [question(seed=seed) for seed in range(5)]
    model = ask_at(server, max_requests=4)
    found = model.ask(questions)
    assert [one.outcome for one in found] == ["answered"] * 3 + ["not asked"] * 2
    assert len(server.requests) == model.requests == 4  # a repeated one among them
    assert found[-1].detail == "--max-requests is 4"
    again = ask_at(server, max_requests=4).ask(questions)
    assert [one.cached for one in again] == [True] * 3 + [False] * 2
    assert [one.outcome for one in again] == ["answered"] * 5
    assert len(server.requests) == 6
    assert ask_at(server, max_requests=0).ask([question(seed=9)])[0].outcome == "not asked"


def test_nothing_is_asked_twice(serve: Serve, ask_at: AskAt) -> None:
    server = serve(in_turn(completion(None, refusal="No."), says("Forest")))
    questions = [question(seed=seed) for seed in range(3)]
    first = ask_at(server).ask(questions)
    assert ask_at(server).estimate(questions).questions == 0
    second = ask_at(server).ask(questions)
    assert [one.model_copy(update={"cached": True}) for one in first] == second
    assert len(server.requests) == 3
    for settings in ({"model": "gpt-4.1"}, {"max_tokens": 999}):
        assert ask_at(server, **settings).estimate(questions).questions == 3
    with chat_server(says("River")) as other:
        assert ask_at(other).ask(questions)[0].label == "River"
    changed = replace(question(), text=question().text + " ")
    assert ask_at(server).estimate([changed]).questions == 1


def test_an_interrupted_run_goes_on(serve: Serve, ask_at: AskAt) -> None:
    count = itertools.count()
    server = serve(lambda _request: says("Forest") if next(count) != 2 else error(401, "no", code="invalid_api_key"))
    questions = [question(seed=seed) for seed in range(5)]
    with pytest.raises(SettingError):
        ask_at(server).ask(questions)
    found = ask_at(server).ask(questions)
    assert [one.cached for one in found] == [True, True, False, False, False]
    assert len(server.requests) == 6


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"reply": {"content": 3}}', b"\xff\xfe", b'{"reply": null}'])
def test_a_damaged_answer_is_asked_for_again(serve: Serve, ask_at: AskAt, tmp_path: Path, damage: bytes) -> None:
    server = serve(says("Forest"))
    ask_at(server).ask([question()])
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(damage)
    assert ask_at(server).ask([question()])[0].label == "Forest"
    assert len(server.requests) == 2


def test_a_cache_that_cannot_be_written_costs_only_the_next_run(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    server = serve(says("Forest"))
    model = VisionModel(OpinionSettings(base_url=server.url), cache=tmp_path / "file" / "kept")
    assert model.ask([question()])[0].label == "Forest"
    assert "answers cannot be kept" in caplog.text


def test_a_server_without_schemas_is_asked_in_words(serve: Serve, ask_at: AskAt) -> None:
    server = serve(lambda request: NO_SCHEMAS if "response_format" in request.body else says("Forest"))
    model = ask_at(server)
    found = model.ask([question(seed=0), question(seed=1)])
    assert [one.label for one in found] == ["Forest", "Forest"]
    assert model.requests == len(server.requests) == 3  # it is found out once
    assert "has to fit this JSON Schema" in server.requests[-1].text
    assert "response_format" not in server.requests[-1].body


@pytest.mark.parametrize(
    ("parameter", "refusal"),
    [
        # llama.cpp's Python server, llama.cpp's forks, FastAPI's validation and models that think, in their own words
        (
            "response_format",
            error(500, 'response_format type must be one of "text" or "json_object"', kind="server_error"),
        ),
        ("response_format", Answer(400, {"error": "'json_schema' is not supported"})),
        ("response_format", Answer(422, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "bad"}]})),
        ("max_completion_tokens", error(400, "Unrecognized request argument supplied: max_completion_tokens")),
        ("temperature", error(400, "Unsupported value: 'temperature' does not support 0 with this model.")),
    ],
)
def test_what_a_server_does_not_take_is_left_out(serve: Serve, ask_at: AskAt, parameter: str, refusal: Answer) -> None:
    server = serve(lambda request: refusal if parameter in request.body else says("Forest"))
    assert ask_at(server).ask([question()])[0].label == "Forest"
    assert len(server.requests) == 2
    if parameter == "max_completion_tokens":
        assert server.requests[-1].body["max_tokens"] == 300


@pytest.mark.parametrize(
    ("behave", "kind", "words"),
    [
        (wrong_key, SettingError, "does not accept the key in OPENAI_API_KEY (401)"),
        (error(403, "Country, region, or territory not supported"), SettingError, "(403)"),
        (NO_MODEL, SettingError, "has no model 'gpt-4o' (404: The model `gpt-9` does not exist"),
        (NO_QUOTA, DataError, "has no credit left"),
        (error(400, "Invalid content type. image_url is only supported by certain models."), SettingError, "image_url"),
        (Answer(400, {"error": "this model is missing data required for image input"}), SettingError, "missing data"),
        (Answer(413, b"too large", {"Content-Type": "text/plain"}), SettingError, "413"),
        (Answer(400, [{"error": {"message": "other form"}}]), SettingError, "Bad Request"),
    ],
)
def test_what_the_user_has_to_mend_ends_the_run(
    serve: Serve, ask_at: AskAt, behave: Any, kind: type[SwathError], words: str
) -> None:
    server = serve(behave)
    with pytest.raises(kind) as stop:
        ask_at(server).ask([question()])
    assert words in str(stop.value)
    assert stop.value.fix
    assert len(server.requests) == 1


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = VisionModel(OpinionSettings(base_url=f"http://127.0.0.1:{port}/v1"))
    with pytest.raises(DataError, match=rf"127\.0\.0\.1:{port} cannot be reached; check --base-url"):
        model.ask([question()])


@pytest.mark.parametrize("address", ["", "api.openai.com", "ftp://a/v1", "https://user:secret@host/v1", "http:///v1"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(DataError) as stop:
        VisionModel(OpinionSettings(base_url=address))
    assert "secret" not in str(stop.value)


@pytest.mark.parametrize("key", [None, "", "  ", "two words", "sk-\u00fcml\u00e4ut-secret", "sk-line\nsecret"])
def test_a_key_that_is_none_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    if key is None:
        monkeypatch.delenv("OPENAI_API_KEY")
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(SettingError, match="OPENAI_API_KEY") as stop:
        VisionModel(OpinionSettings(base_url="https://nowhere.invalid/v1")).ask([question()])
    assert "secret" not in str(stop.value)


def test_a_server_on_this_machine_needs_no_key_and_no_network(
    serve: Serve, ask_at: AskAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("SWATH_OFFLINE", "1")
    server = serve(says("Forest"))
    assert ask_at(server).ask([question()])[0].label == "Forest"
    assert server.requests[0].headers["authorization"] == "Bearer none"
    with pytest.raises(DataError, match="the network is switched off"):
        VisionModel(OpinionSettings()).ask([question()])


def test_kept_answers_are_read_without_the_extra(serve: Serve, ask_at: AskAt, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(says("Forest"))
    ask_at(server).ask([question()])
    monkeypatch.delitem(sys.modules, "swath.opinion.protocol")
    monkeypatch.setitem(sys.modules, "openai", None)
    assert ask_at(server).ask([question()])[0].label == "Forest"
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[opinion\]'"):
        ask_at(server).ask([question(seed=1)])


def test_importing_the_room_does_not_import_the_client() -> None:
    script = "import sys, swath, swath.opinion, swath.cli; assert 'openai' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _echoes(request: Request) -> Answer:
    """A server that repeats the key wherever it can."""
    said = request.headers["authorization"]
    return completion(json.dumps({"label": "Forest", "confidence": 1, "reason": f"You sent {said}."}))


@pytest.mark.parametrize(
    "behave",
    [
        _echoes,
        lambda request: completion(f"Your key is {request.headers['authorization']}"),
        lambda request: completion(None, refusal=f"Not for {request.headers['authorization']}"),
        wrong_key,
        lambda request: error(400, f"Bad request of {request.headers['authorization']}"),
        lambda request: error(404, f"No model for {request.headers['authorization']}"),
        lambda request: error(500, f"Failed for {request.headers['authorization']}", retry_after="0"),
        lambda request: error(400, f"filtered {request.headers['authorization']}", code="content_filter"),
        Answer(drop=True),
        Answer(hang=True),
    ],
)
def test_the_key_is_nowhere(
    serve: Serve,
    ask_at: AskAt,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    behave: Any,
) -> None:
    """Not in results, errors and their tracebacks with all that hangs on them, logs at their finest, or files."""
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    model = ask_at(serve(behave), timeout=0.5)
    shown = []
    problem: SwathError | None = None
    try:
        shown += [repr(one) for one in model.ask([question()])]
    except SwathError as raised:
        problem = raised
    if problem is not None:
        assert problem.__context__ is problem.__cause__ is None
        shown += [*traceback.format_exception(problem), repr(problem), str(problem.__dict__)]
    shown += [repr(model), repr(model.settings), model.settings.model_dump_json(), caplog.text, *capfd.readouterr()]
    shown += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(shown)
    for text in shown:
        assert KEY not in text
        assert KEY[:20] not in text
        assert KEY[-12:] not in text
    assert len(caplog.records) > 3  # the client and its transport did log
