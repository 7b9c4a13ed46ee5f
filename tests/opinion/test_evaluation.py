"""Numbers of a second opinion, from a server whose every answer is known, against independent ones."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.inference import Classifier, load
from swath.opinion import OpinionEvaluation, VisionModel, evaluate_opinions, prepare_evaluation
from swath.opinion.answers import Opinion, missing
from swath.opinion.client import OpinionSettings
from swath.opinion.cost import Price
from swath.opinion.evaluation import measure_opinions
from swath.opinion.results import PreparedEvaluation
from tests.opinion.servers import (
    KEY,
    NO_QUOTA,
    Answer,
    Behavior,
    ChatServer,
    Request,
    by_color,
    completion,
    limited,
    says,
)
from tests.tiny import CLASSES

Serve = Callable[[Behavior | Answer], ChatServer]
AskAt = Callable[..., VisionModel]
pytestmark = pytest.mark.usefixtures("small_pictures")
PRICE = Price(input=2.0, output=10.0)


def erring(request: Request) -> Answer:
    """Right by color, but for a known share: one in four another class, one in eight unsure, one in sixteen refused."""
    draw = hashlib.sha256(request.png).digest()[0] % 16
    own = by_color(request)
    if draw < 4:
        return says(CLASSES[(CLASSES.index(own) + 1) % 4])
    if draw < 6:
        return says("unsure")
    return completion(None, refusal="I'd rather not.") if draw == 6 else says(own)


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    """The tiny model, on one thread."""
    return load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def prepared(classifier: Classifier, tiny_index: PatchIndex) -> PreparedEvaluation:
    """All of the train split, with the classifier's answers."""
    model = VisionModel(OpinionSettings(base_url="http://127.0.0.1:1/v1"))
    return prepare_evaluation(classifier, tiny_index, model, split="train", below=0.9)


def test_numbers_are_those_of_the_answers(
    serve: Serve, ask_at: AskAt, classifier: Classifier, tiny_index: PatchIndex, tmp_path: Path
) -> None:
    server = serve(erring)
    model = ask_at(server, price=PRICE)
    out = tmp_path / "out"
    made = prepare_evaluation(classifier, tiny_index, model, split="train", below=0.9, out=out)
    assert (len(made.questions), made.estimate.questions, server.requests) == (72, 72, [])
    result = evaluate_opinions(made, model, out=out)
    with (out / "opinions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # What the server said, by the picture it was asked about, and not by what swath has kept.
    said = [json.loads(erring(request).body["choices"][0]["message"]["content"] or "{}") for request in server.requests]
    assert [row["opinion"] for row in rows] == [one.get("label", "") for one in said]
    truth, first = ([row[name] for row in rows] for name in ("label", "predicted"))
    second = [one.get("label", "refused").replace("unsure", "none").replace("refused", "none") for one in said]
    right, other = (np.array(labels) == np.array(truth) for labels in (first, second))
    n = len(rows)
    assert (result.n, result.sample, len({*truth})) == (n, n, 4)
    assert result.first.accuracy.value == pytest.approx(accuracy_score(truth, first))
    assert result.second.accuracy.value == pytest.approx(accuracy_score(truth, second))
    assert 0.4 < result.second.accuracy.value < 0.7
    f1 = f1_score(truth, second, labels=CLASSES, average="macro", zero_division=0)
    assert result.second.macro_f1.value == pytest.approx(f1)
    assert result.kappa_first.value == pytest.approx(cohen_kappa_score(truth, first))
    assert result.kappa_second.value == pytest.approx(cohen_kappa_score(truth, second))
    assert result.kappa_between.value == pytest.approx(cohen_kappa_score(first, second))
    named = np.array(second) != "none"
    assert result.answered.value == pytest.approx(other[named].mean())
    assert result.answered.n == named.sum()
    assert result.outcomes["refused"] == sum(one == {} for one in said)
    assert result.outcomes["unsure"] == sum(one.get("label") == "unsure" for one in said)
    assert (result.pairs.both, result.pairs.only_classifier) == ((right & other).sum(), (right & ~other).sum())
    assert (result.pairs.only_other, result.pairs.neither) == ((~right & other).sum(), (~right & ~other).sum())
    assert (result.test.only_first, result.test.only_second) == (result.pairs.only_classifier, result.pairs.only_other)
    assert result.accuracy.value == pytest.approx(other.mean() - right.mean())
    assert np.sum(result.confusion) == n
    assert [row[-1] for row in result.confusion] == [
        sum(t == name and s == "none" for t, s in zip(truth, second, strict=True)) for name in CLASSES
    ]
    assert result.per_class["River"].second.value == pytest.approx(other[np.array(truth) == "River"].mean())
    # If its class were taken
    unsure = np.array([row["unsure"] == "True" for row in rows])
    assert 0 < unsure.sum() < n
    for replaced, asked in ((result.always, np.ones(n, bool)), (result.where_unsure, unsure)):
        taken = np.where(asked & named, second, first)
        gain = (taken == np.array(truth)).sum() - right.sum()
        assert (replaced.asked, replaced.net) == (asked.sum(), gain)
        assert replaced.gain.value == pytest.approx(gain / n)
        assert replaced.gain.low <= gain / n <= replaced.gain.high
        assert replaced.usd_per_1000 == pytest.approx(1000 * asked.sum() * (500 * 2 + 40 * 10) / 1e6 / n)
        assert (replaced.requests_per_net is None) == (gain <= 0)
    differs = named & (np.array(first) != np.array(second))
    assert result.disagreement.share.value == pytest.approx(differs.mean())
    assert result.disagreement.found.n == (~right).sum()
    assert result.unsure.share.value == pytest.approx(unsure.mean())
    assert (result.cost.questions, result.cost.tokens, result.requests) == (n, 540 * n, n)
    assert result.cost.usd == pytest.approx(n * (500 * 2 + 40 * 10) / 1e6)
    assert OpinionEvaluation.model_validate_json((out / "opinion.json").read_text()) == result


def test_the_folder_and_the_page(
    serve: Serve, ask_at: AskAt, classifier: Classifier, tiny_index: PatchIndex, tmp_path: Path
) -> None:
    server = serve(erring)
    model = ask_at(server, price=PRICE)
    out = tmp_path / "out"
    made = prepare_evaluation(classifier, tiny_index, model, split="train", below=0.9, out=out)
    result = evaluate_opinions(made, model, out=out)
    page = (out / "index.html").read_text()
    for words in (
        "A second opinion: &#39;gpt-4o&#39; next to &#39;tiny&#39;",
        "Does asking pay?",
        "What each knows that the other does not",
        "Where they differ",
        "neither the classifier&#39;s answer, nor the label, nor the name of a file",
        "Which one of these classes does the patch show?",
    ):
        assert words in page
    assert "http://" not in page
    everything = "".join(path.read_text() for path in [*out.iterdir(), *(tmp_path / "kept").iterdir()])
    assert KEY not in everything
    confusion = list(csv.reader((out / "confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert confusion[0] == ["true \\ opinion", *CLASSES, "(no class)"]
    assert [[int(cell) for cell in row[1:]] for row in confusion[1:]] == [list(row) for row in result.confusion]
    for line in result.lines():
        assert len(line) <= 80 or "  " not in line.strip()
    # A second run asks nothing and finds the same.
    again = ask_at(server, price=PRICE)
    repeated = prepare_evaluation(classifier, tiny_index, again, split="train", below=0.9)
    assert repeated.estimate.questions == 0
    found = evaluate_opinions(repeated, again)
    assert found.requests == 0
    assert found.model_copy(update={"requests": 72}) == result
    assert len(server.requests) == 72


def test_a_larger_sample_adds_to_a_smaller_one(
    serve: Serve, ask_at: AskAt, classifier: Classifier, tiny_index: PatchIndex
) -> None:
    model = ask_at(serve(says("River")))
    small, large = (prepare_evaluation(classifier, tiny_index, model, n=n, split="train") for n in (20, 50))
    assert set(small.found.paths) < set(large.found.paths)
    assert (len(small.questions), len(large.questions)) == (20, 50)
    other = prepare_evaluation(classifier, tiny_index, model, n=20, split="train", seed=1)
    assert set(other.found.paths) != set(small.found.paths)
    evaluate_opinions(small, model)
    assert prepare_evaluation(classifier, tiny_index, model, n=50, split="train").estimate.questions == 30


def test_who_was_not_heard_is_in_no_number(prepared: PreparedEvaluation) -> None:
    model = VisionModel()
    right = [Opinion(outcome="answered", label=label) for label in prepared.found.part.labels]
    some = [missing("timed out", "no answer") if row % 3 else one for row, one in enumerate(right)]
    result = measure_opinions(prepared, some, model)
    assert (result.sample, result.n, result.second.accuracy.value) == (72, 24, 1.0)
    assert result.outcomes == {"answered": 24, "timed out": 48}
    assert result.second.accuracy.low < 0.9  # of 24 patches, not of 72
    with pytest.raises(DataError, match="heard on none of 72 patches"):
        measure_opinions(prepared, [missing("rate limited", "429")] * 72, model)


def opinions(labels: list[str]) -> list[Opinion]:
    return [
        Opinion(outcome="answered", label=label, prompt_tokens=1000, completion_tokens=0) if label
        else Opinion(outcome="refused", prompt_tokens=1000)
        for label in labels
    ]  # fmt: skip


def test_verdicts(prepared: PreparedEvaluation) -> None:
    truth, said = prepared.found.part.labels, prepared.found.predictions.labels
    model = VisionModel(OpinionSettings(price=Price(input=1, output=1)))
    same = measure_opinions(prepared, opinions(said), model)
    assert "is not shown to pay" in same.verdict
    assert (same.where_unsure.net, same.where_unsure.usd_per_net, same.kappa_between.value) == (0, None, 1.0)
    assert same.kappa_between.low < 1
    knowing = measure_opinions(prepared, opinions(truth), model)
    mistakes = sum(a != b for a, b in zip(truth, said, strict=True))
    found = knowing.where_unsure
    assert knowing.always.net == mistakes > 0
    assert 0 < found.net <= mistakes
    assert found.requests_per_net == pytest.approx(found.asked / found.net)
    assert found.usd_per_net == pytest.approx(found.asked * 0.001 / found.net)
    assert knowing.disagreement.found.value == 1.0
    wrong = [CLASSES[(CLASSES.index(label) + 1) % 4] for label in truth]
    assert "does not pay" in measure_opinions(prepared, opinions(wrong), model).verdict
    silent = measure_opinions(prepared, opinions([""] * len(truth)), model)
    assert (silent.second.accuracy.value, silent.answered.n, silent.always.net) == (0.0, 0, 0)
    assert silent.always.accuracy == silent.first.accuracy  # who names no class replaces none
    sure = PreparedEvaluation(
        prepared.found, np.zeros(len(truth), bool), prepared.rule, prepared.questions, prepared.estimate
    )
    assert "there is nothing to ask" in measure_opinions(sure, opinions(truth), model).verdict


def test_asking_pays_where_it_clearly_does(prepared: PreparedEvaluation) -> None:
    """A classifier that is wrong and unsure in a third of its answers, and one that knows."""
    from dataclasses import replace

    labels = list(prepared.found.part.labels)
    sets = [
        (CLASSES[(CLASSES.index(label) + 1) % 4],) if row % 3 == 0 else (label,) for row, label in enumerate(labels)
    ]
    found = replace(prepared.found, predictions=replace(prepared.found.predictions, label_sets=sets))
    unsure = np.arange(len(labels)) % 3 == 0
    poor = PreparedEvaluation(found, unsure, prepared.rule, prepared.questions, prepared.estimate)
    result = measure_opinions(poor, opinions(labels), VisionModel(OpinionSettings(price=Price(input=1, output=1))))
    assert result.where_unsure.gain.value == pytest.approx(1 / 3)
    assert "pays: taking its class there would change the accuracy by +33.3 points" in result.verdict
    assert "1.0 requests, 0.001 USD" in result.verdict


@settings(max_examples=20)
@given(st.data())
def test_counts_fit_each_other_whatever_is_said(prepared: PreparedEvaluation, data: Any) -> None:
    n = len(prepared.questions)
    labels = data.draw(st.lists(st.sampled_from([*CLASSES, "", "unsure"]), min_size=n, max_size=n))
    result = measure_opinions(prepared, opinions(labels), VisionModel())
    pairs = result.pairs
    assert pairs.both + pairs.only_classifier + pairs.only_other + pairs.neither == n
    assert result.always.net == round(n * result.always.gain.value)
    assert result.always.net >= -pairs.only_classifier
    assert pairs.both + pairs.only_other == round(n * result.second.accuracy.value)
    for estimate in (result.kappa_second, result.kappa_between, result.accuracy, result.macro_f1):
        assert estimate.low <= estimate.value <= estimate.high
    assert result.lines()


def test_settings_that_cannot_be(classifier: Classifier, tiny_index: PatchIndex, serve: Serve, ask_at: AskAt) -> None:
    model = ask_at(serve(says("River")))
    with pytest.raises(SettingError, match="1 or more"):
        prepare_evaluation(classifier, tiny_index, model, n=0)
    with pytest.raises(SettingError, match="--out DIR"):
        prepare_evaluation(classifier, tiny_index, model, split="test")


def test_nothing_is_written_when_it_cannot_be_finished(
    serve: Serve, ask_at: AskAt, classifier: Classifier, tiny_index: PatchIndex, tmp_path: Path
) -> None:
    for behave in (NO_QUOTA, limited("9999")):
        model = ask_at(serve(behave))
        made = prepare_evaluation(classifier, tiny_index, model, out=tmp_path / "out")
        with pytest.raises(DataError):
            evaluate_opinions(made, model, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
