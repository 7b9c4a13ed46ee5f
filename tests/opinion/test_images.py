"""Opinions on images: who is asked about, and a table in which the classifier's answer stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.errors import OutputError, SettingError
from swath.inference import load
from swath.opinion import VisionModel, ask_images, prepare_images, read_definitions
from tests.opinion.servers import Answer, Behavior, ChatServer, by_color, in_turn, says

Serve = Callable[[Behavior | Answer], ChatServer]
AskAt = Callable[..., VisionModel]
pytestmark = pytest.mark.usefixtures("small_pictures")


def test_it_says_what_each_says(
    serve: Serve, ask_at: AskAt, tiny_model: Path, tiny_patches: Path, tmp_path: Path
) -> None:
    server = serve(lambda request: says(by_color(request)))
    model, classifier = ask_at(server), load(tiny_model, threads=1)
    prepared = prepare_images(classifier, [tiny_patches], model, below=0.9)
    assert server.requests == []
    assert prepared.estimate.questions == len(prepared.rows) == 120
    few = prepare_images(classifier, [tiny_patches], model, below=0.9, only_unsure=True)
    assert few.rows == tuple(row for row, value in enumerate(prepared.unsure.tolist()) if value)
    assert 0 < len(few.rows) < 60
    table = ask_images(few, model, out=tmp_path / "o.json")
    assert len(server.requests) == table.requests == table.asked == len(few.rows)
    assert [one is not None for one in table.opinions] == prepared.unsure.tolist()
    rows = json.loads((tmp_path / "o.json").read_text())
    assert [row["label"] for row in rows] == table.predictions.labels == prepared.predictions.labels
    assert [row["unsure"] for row in rows] == prepared.unsure.tolist()
    assert sum(row["outcome"] == "answered" for row in rows) == len(few.rows)
    assert sum(row["differs"] for row in rows) == table.differing
    assert table.cost.tokens == 540 * len(few.rows)
    everything = ask_images(prepared, model)
    assert len(server.requests) == 120
    assert everything.requests == 120 - len(few.rows)


def test_neither_names_nor_answers_are_sent(serve: Serve, ask_at: AskAt, tiny_model: Path, tiny_patches: Path) -> None:
    server = serve(says("unsure"))
    model, classifier = ask_at(server), load(tiny_model, threads=1)
    lines = read_definitions(None, classifier.record.class_names)
    table = ask_images(prepare_images(classifier, [tiny_patches / "River"], model), model)
    assert table.differing == 0  # who is unsure names no other class
    bodies = [{**request.body, "messages": None} for request in server.requests]
    assert all(body == bodies[0] for body in bodies)
    assert len({request.text for request in server.requests}) == 1
    assert len({request.png for request in server.requests}) == 30
    assert f"- River: {lines['River']}" in server.requests[0].text
    sent = json.dumps([request.body for request in server.requests]) + json.dumps(
        [request.headers for request in server.requests]
    )
    named = prepare_images(classifier, [tiny_patches / "River"], model, definitions={})
    assert "- River\n" in named.questions[0].text
    assert "River_" not in sent
    assert str(tiny_patches) not in sent


def test_a_table_that_cannot_be_written_costs_nothing(
    serve: Serve, ask_at: AskAt, tiny_model: Path, tiny_patches: Path, tmp_path: Path
) -> None:
    server = serve(in_turn(says("River")))
    model = ask_at(server)
    prepared = prepare_images(load(tiny_model, threads=1), [tiny_patches / "River"], model)
    (tmp_path / "there.csv").write_text("")
    with pytest.raises(OutputError, match="--overwrite"):
        ask_images(prepared, model, out=tmp_path / "there.csv")
    with pytest.raises(SettingError, match=r"opinions\.csv"):
        ask_images(prepared, model, out=tmp_path / "o.parquet")
    assert server.requests == []
    ask_images(prepared, model, out=tmp_path / "there.csv", overwrite=True)
    header, first, *_ = (tmp_path / "there.csv").read_text().splitlines()
    assert header == (
        "path,label,confidence,is_ood,unsure,opinion,opinion_confidence,outcome,reason,detail,prompt_tokens,"
        "completion_tokens,differs"
    )
    assert "River,0.8,answered,It is even and dark.,,500,40,False" in first
