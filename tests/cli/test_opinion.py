"""``swath opinion``: what a user types, is asked, and sees."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conftest import Swath
from tests.opinion.servers import (
    KEY,
    NO_QUOTA,
    Answer,
    Behavior,
    ChatServer,
    by_color,
    chat_server,
    completion,
    limited,
    says,
    wrong_key,
)
from tests.tiny import patch

Serve = Callable[[Behavior | Answer], ChatServer]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """Start a server that the commands ask, with a cache of the test's own."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SWATH_VISION_MODEL", raising=False)
    with ExitStack() as stack:

        def start(behave: Behavior | Answer) -> ChatServer:
            server = stack.enter_context(chat_server(behave))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three patches."""
    from PIL import Image

    (tmp_path / "in").mkdir()
    paths = []
    for label in ("Forest", "River", "SeaLake"):
        paths.append(tmp_path / "in" / f"secret_{label}.png")
        Image.fromarray(patch(label, seed=5)).save(paths[-1])
    return paths


def test_both_opinions_side_by_side(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    server = serve(says("River", 0.7, "A bright band."))
    table = tmp_path / "o.csv"
    ran = swath("opinion", "ask", *images, "--model", tiny_model, "--yes", "--price", "2.5:10", "--out", table)
    assert ran.code == 0, ran.err
    assert f"3 pictures go to gpt-4o at 127.0.0.1:{server.port}: about " in ran.err
    assert "USD" in ran.err
    assert [row.split() for row in ran.out.splitlines()[:2]] == [
        ["image", "tiny", "gpt-4o"],
        ["secret_Forest.png", "Forest", ran.out.splitlines()[1].split()[2], "%", "River", "70", "%"],
    ]
    assert "secret_River.png: A bright band." in ran.out
    assert "asked on 3 images, another class on 2" in ran.out
    assert "it took 1,620 tokens and 0.005 USD (3 requests now)" in ran.out
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["Forest", "River", "SeaLake"]  # it overrules nothing
    assert [row["opinion"] for row in rows] == ["River"] * 3
    assert [row["differs"] for row in rows] == ["True", "False", "True"]
    for request in server.requests:
        assert "secret_" not in json.dumps(request.body)
    assert len({request.text for request in server.requests}) == 1
    plain = swath("opinion", "ask", *images, "--model", tiny_model)  # nothing to send: nothing to confirm
    assert plain.code == 0, plain.err
    assert "(0 requests now)" in plain.out
    assert "next: swath opinion ask " in plain.err
    assert len(server.requests) == 3


def test_only_where_the_classifier_is_unsure(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    server = serve(says("River"))
    command = ("opinion", "ask", *images, "--model", tiny_model, "--only-unsure", "--yes", "--json")
    found = json.loads(swath(*command, "--below", "0.000001").out)
    assert (found["asked"], found["requests"]) == (0, 0)
    assert found["rows"][0]["outcome"] == "not asked"
    found = json.loads(swath(*command, "--below", "1").out)
    assert found["asked"] == len(server.requests) == 3
    assert found["rows"][0]["label"] == "Forest"
    assert found["rows"][0]["differs"] is True


def test_nothing_is_sent_unless_it_is_agreed(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(says("River"))
    command = ("opinion", "ask", *images, "--model", tiny_model)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", io.StringIO())
    ran = swath(*command)
    assert ran.code == 2
    assert "there is no terminal to ask whether that is wanted; pass --yes" in ran.err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ran = swath(*command)
    assert (ran.code, ran.out.strip()) == (1, "")
    assert "3 pictures go to gpt-4o" in ran.err
    assert "nothing was sent" in ran.err
    assert server.requests == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert swath(*command).code == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (completion(None, refusal="I won't."), "(refused)"),
        (completion("A forest."), "(no JSON)"),
        (says("Glacier"), "(other label)"),
        (completion("{", finish_reason="length"), "(truncated)"),
        (completion(""), "(empty)"),
        (limited("9999"), "(rate limited)"),
        (Answer(hang=True), "(timed out)"),
        (says("unsure"), "unsure 80 %"),
    ],
)
def test_what_is_no_answer_is_shown_as_what_it_is(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    answer: Answer, shown: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("swath.opinion.client.ATTEMPTS", 1)
    serve(answer)
    seconds = 0.2 if answer.hang else 60
    ran = swath("opinion", "ask", images[0], "--model", tiny_model, "--yes", "--answer-timeout", seconds)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1].endswith(shown)


@pytest.mark.parametrize(
    ("behave", "words"),
    [(wrong_key, "does not accept the key in OPENAI_API_KEY (401)"), (NO_QUOTA, "has no credit left")],
)
def test_mistakes_are_one_sentence_without_the_key(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, caplog: pytest.LogCaptureFixture,
    behave: Behavior | Answer, words: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    serve(behave)
    ran = swath("opinion", "ask", images[0], "--model", tiny_model, "--yes")
    assert ran.code == 2
    assert words in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert KEY not in ran.out + ran.err + caplog.text


def test_other_mistakes(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, tiny_index_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = serve(says("River"))
    ask = ("opinion", "ask", images[0], "--model", tiny_model, "--yes")
    measure = ("opinion", "evaluate", tiny_index_file, "--model", tiny_model, "--yes")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    for arguments, words in (
        ((*ask, "--out", tmp_path / "o.txt"), "does not end in .csv or .json"),
        ((*ask, "--price", "cheap"), "--price 2.5:10"),
        ((*ask, "--below", "7"), "--below 0.9"),
        ((*ask, "--base-url", "127.0.0.1:8000"), "--base-url https://api.openai.com/v1"),
        ((*ask, "--definitions", tmp_path / "none.yaml"), "none.yaml"),
        ((*measure, "--split", "test"), "--out DIR"),
        ((*measure, "--out", tmp_path / "full"), "--overwrite"),
    ):
        ran = swath(*arguments)
        assert ran.code == 2
        assert words in ran.err
    monkeypatch.delenv("OPENAI_API_KEY")
    ran = swath(*ask, "--base-url", "https://nowhere.invalid/v1")
    assert "OPENAI_API_KEY is not set; export OPENAI_API_KEY=..." in ran.err
    assert server.requests == []


def test_a_second_opinion_is_measured(
    swath: Swath, serve: Serve, tiny_model: Path, tiny_index_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda request: says(by_color(request)))
    monkeypatch.setenv("SWATH_VISION_MODEL", "local-vl")
    command = ("opinion", "evaluate", tiny_index_file, "--model", tiny_model, "--yes")
    ran = swath(*command, "--n", 10)
    assert ran.code == 0, ran.err
    assert len(server.requests) == 10
    assert server.requests[0].body["model"] == "local-vl"
    assert f"local-vl at 127.0.0.1:{server.port}, split val: 10 patches (10 answered)" in ran.out
    assert "--vision-model local-vl" in ran.err.splitlines()[-1]
    out = tmp_path / "opinion"
    ran = swath(*command, "--n", 24, "--out", out, "--price", "1:1", "--below", "0.99")
    assert ran.code == 0, ran.err
    assert len(server.requests) == 24  # those of the smaller sample were kept
    assert f"page: {(out / 'index.html').as_uri()}" in ran.out
    assert sorted(path.name for path in out.iterdir()) == [
        "confusion.csv",
        "index.html",
        "opinion.json",
        "opinions.csv",
    ]
    made = json.loads((out / "opinion.json").read_text())
    assert (made["n"], made["requests"], made["cost"]["questions"]) == (24, 14, 24)
    assert not (tmp_path / "test_accesses.jsonl").exists()
    ran = swath(*command, "--n", 5, "--split", "test", "--out", tmp_path / "test")
    assert ran.code == 0, ran.err
    (line,) = (tmp_path / "test_accesses.jsonl").read_text().splitlines()
    assert json.loads(line)["n"] == 5


def test_paid_answers_stay_when_the_cache_is_cleared(
    swath: Swath, serve: Serve, images: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    serve(says("River"))
    assert swath("opinion", "ask", images[0], "--model", tiny_model, "--yes").code == 0
    kept = tmp_path / "cache" / "opinions"
    swath("cache", "clear", "--keep-downloads")
    assert len(list(kept.iterdir())) == 1
    swath("cache", "clear")
    assert not list(kept.glob("*.json"))
