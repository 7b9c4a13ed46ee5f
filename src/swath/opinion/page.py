"""The evaluation of a second opinion as a folder: numbers, every patch, the confusion matrix, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swath.evaluation.compare import LEVEL, recall_chart
from swath.evaluation.plots import confusion_chart
from swath.files import write_csv
from swath.opinion.answers import Opinion
from swath.opinion.images import opinion_columns
from swath.opinion.results import NO_CLASS, OpinionEvaluation, PreparedEvaluation, plain_kappa
from swath.pages.figures import pixels_to_png, tile
from swath.pages.html import Image, Link, Listing, Number, Point, Section, write_report
from swath.pages.text import counted, p_value, sentence, written

NUMBERS, PATCHES, MATRIX, PAGE = "opinion.json", "opinions.csv", "confusion.csv", "index.html"
_SHOWN = 24  # patches in the gallery
_SIDE = 160  # pixels of each


def write_opinions(
    folder: Path, result: OpinionEvaluation, prepared: PreparedEvaluation, opinions: Sequence[Opinion]
) -> None:
    """Write ``opinion.json``, ``opinions.csv``, ``confusion.csv`` and ``index.html`` into an existing folder."""
    (folder / NUMBERS).write_text(result.to_json(), encoding="utf-8")
    columns = _columns(prepared, opinions)
    write_csv(folder / PATCHES, list(columns), zip(*columns.values(), strict=True))
    classes = prepared.found.classes
    write_csv(
        folder / MATRIX,
        ("true \\ opinion", *classes, NO_CLASS),
        ([name, *row] for name, row in zip(classes, result.confusion, strict=True)),
    )
    both, right, replaced, signs = result.tables()
    unheard = result.sample - result.n
    write_report(
        folder / PAGE,
        [
            Section(
                "Both models",
                text=[
                    f"{counted(result.n, 'patch', 'patches')} of the split '{result.split}', drawn at random. Where "
                    f"'{result.vision_model}' names no class it is not right; where it names one, "
                    f"{100 * result.answered.value:.1f} % are right. Kappa is agreement beyond chance (Cohen 1960): "
                    f"of the two models with each other it is {plain_kappa(result.kappa_between)}."
                ],
                warnings=[
                    *([sentence(result.seen.sentence)] if result.seen.seen or not result.seen.known else []),
                    *(
                        [
                            f"On {counted(unheard, 'patch', 'patches')} it was not heard; they are in no number here: "
                            "the same command asks again."
                        ]
                        if unheard
                        else []
                    ),
                ],
                tables=[both, right],
            ),
            Section(
                "What each knows that the other does not",
                text=[
                    f"Recall of both models on the patches of each class. p-values are of McNemar's exact test on the "
                    f"patches that only one of the two gets right ({p_value(result.test.p_value)} over all), corrected "
                    "for the number of classes (Holm)."
                ],
                tables=[result.class_table()],
                images=[
                    recall_chart(result.per_class, first=result.classifier, second=result.vision_model),
                    confusion_chart(
                        np.array([*result.confusion, (0,) * (len(classes) + 1)], np.int64), [*classes, NO_CLASS]
                    ),
                ],
            ),
            Section(
                "Does asking pay?",
                text=[
                    result.verdict,
                    f"The classifier counts as unsure where {result.unsure_rule}. A patch gained is one put right "
                    "less one put wrong.",
                    f"The {counted(result.n, 'answer', 'answers')} took {result.cost.sentence}.",
                ],
                tables=[replaced, signs],
            ),
            *_gallery(result, prepared, opinions),
            Section(
                "How it was asked",
                text=[
                    f"'{result.vision_model}' at {result.host}, one request per patch. It was shown the picture and "
                    "the words below, and neither the classifier's answer, nor the label, nor the name of a file.",
                    "Outcomes: " + ", ".join(f"{count:,} {name}" for name, count in result.outcomes.items()) + ".",
                ],
                lists=[Listing("The words", [line for line in prepared.questions[0].text.splitlines() if line])],
            ),
        ],
        title=f"A second opinion: '{result.vision_model}' next to '{result.classifier}'",
        points=_points(result),
        numbers=[
            Number(f"accuracy of {result.vision_model}", result.second.accuracy, f"n = {result.n:,}"),
            Number(f"accuracy of {result.classifier}{result.seen.mark}", result.first.accuracy, f"n = {result.n:,}"),
        ],
        links=[Link("All numbers (JSON)", folder / NUMBERS), Link("Every patch (CSV)", folder / PATCHES)],
    )


def _columns(prepared: PreparedEvaluation, opinions: Sequence[Opinion]) -> dict[str, list[object]]:
    found = prepared.found
    flags = found.predictions.is_ood
    return {
        "path": list(found.paths),
        "label": list(found.part.labels),
        "predicted": list(found.predictions.labels),
        "confidence": [f"{value:.6f}" for value in found.confidence.tolist()],
        "is_ood": [""] * len(found) if flags is None else flags.tolist(),
        "unsure": prepared.unsure.tolist(),
        **opinion_columns(opinions),
    }


def _points(result: OpinionEvaluation) -> list[Point]:
    """Whether asking pays, first; then who is better, and what it alone knows."""
    replaced, test = result.where_unsure, result.test
    pays = replaced.gain.low > 0
    if replaced.asked:
        text = f"of accuracy, if its class were taken where the classifier is unsure ({replaced.asked:,} patches)"
        head = "Pays" if pays else "Does not pay" if replaced.gain.high < 0 else "Not shown to pay"
        number = f"{100 * replaced.gain.value:+.1f} points"
        small = f"95 % interval {100 * replaced.gain.low:+.1f} to {100 * replaced.gain.high:+.1f} points"
        first = Point("good" if pays else "beware", text, number, small, head=head)
    else:
        first = Point("beware", result.verdict, head="Nothing to ask")
    lead = result.accuracy
    if test.p_value < LEVEL and lead.value:
        better, worse = (
            (result.vision_model, result.classifier) if lead.value > 0 else (result.classifier, result.vision_model)
        )
        who = Point(
            "good",
            f"more of the patches are right with '{better}' than with '{worse}'",
            f"{100 * abs(lead.value):.1f} points",
            p_value(test.p_value),
            head="Better",
        )
    else:
        who = Point(
            "beware",
            "of accuracy apart: neither is shown to be better",
            f"{100 * abs(lead.value):.1f} points",
            p_value(test.p_value),
            head="Not clear",
        )
    errors = result.pairs.only_other + result.pairs.neither
    alone = Point(
        "good" if result.pairs.only_other else "beware",
        f"of {counted(errors, 'mistake', 'mistakes')} of '{result.classifier}' it gets right; it loses "
        f"{result.pairs.only_classifier:,} that the classifier gets right",
        f"{result.pairs.only_other:,}",
        head="It alone knows",
    )
    return [first, who, alone]


def _gallery(result: OpinionEvaluation, prepared: PreparedEvaluation, opinions: Sequence[Opinion]) -> list[Section]:
    """Patches on which the two models differ: those that only one gets right first."""
    found = prepared.found
    labels, truth = found.predictions.labels, found.part.labels
    rows = [row for row, one in enumerate(opinions) if one.outcome == "answered" and one.label != labels[row]]
    rows.sort(key=lambda row: (opinions[row].label != truth[row], labels[row] != truth[row], row))
    bands = found.record.input.bands
    tiles = [
        Image(
            pixels_to_png(tile(found.pixels[row], bands, side=_SIDE)),
            f"Patch of {truth[row]}",
            f"label {written(truth[row])}; {result.classifier}: {written(labels[row])}; {result.vision_model}: "
            f"{written(opinions[row].label)}. \u201c{opinions[row].reason}\u201d",
        )
        for row in rows[:_SHOWN]
    ]
    if not tiles:
        return []
    more = f" The first {_SHOWN} of {len(rows):,}." if len(rows) > _SHOWN else ""
    text = f"Those that '{result.vision_model}' gets right come first.{more} Reasons are in the model's own words."
    return [Section("Where they differ", text=[text], tiles=tiles)]
