"""The page of an error analysis: pairs, classes, slices, and galleries of patches with evidence maps.

:func:`choose_galleries` and :func:`evidence_maps` decide what is shown and belong to the measurement; the rest draws
and writes it without a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from swath.data import class_numbers
from swath.errors import SwathError
from swath.evaluation.errors.findings import ConfusedPair, ErrorAnalysis, ErrorDetails, most, slices_sentence
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.seen import seen_numbers
from swath.explain import class_evidence
from swath.explain.pictures import evidence_key, panels
from swath.inference import Classifier
from swath.pages.html import Image, Link, Number, Point, Section, Table, write_report
from swath.pages.text import counted, p_text, p_value, percent, points, sentence, written
from swath.progress import Progress, silent

_LOSSES, _SURE, _UNSURE = 24, 12, 12  # patches in a gallery
_PAIRS, _EACH = 4, 6  # pairs in the gallery, and patches of each
_SLICES = 40  # in the table
_CHUNK = 256  # patches whose activations are in memory at once
_UNCHECKED = (
    "the maps are shown as they are, and may not show what decides the model's answers: that is tested by "
    "swath explain MODEL INDEX --check --out DIR, and in a report (swath report)"
)
MAPS = "maps"  # the folder of one picture per mistake
Rows = npt.NDArray[np.int64]
Maps = dict[int, list[npt.NDArray[np.float32]]]


def write_errors_page(path: Path, analysis: ErrorAnalysis) -> None:
    """Write ``index.html`` next to ``errors.csv`` and ``errors.json``."""
    write_report(
        path,
        [
            *_with_care(error_sections(analysis), analysis),
            *_every_section(analysis, path.parent),
            _next_section(analysis),
        ],
        title=f"Mistakes of '{analysis.model}'",
        points=_points(analysis),
        numbers=[
            *seen_numbers({"accuracy": analysis.unseen_accuracy}),
            Number(f"accuracy{analysis.seen.mark}", analysis.accuracy, f"n = {analysis.n:,}, split '{analysis.split}'"),
            Number("mistakes", f"{analysis.errors:,}"),
        ],
        links=[
            Link("Every patch (CSV)", path.parent / "errors.csv"),
            Link("The findings (JSON)", path.parent / "errors.json"),
        ],
    )


def error_sections(analysis: ErrorAnalysis) -> list[Section]:
    """Show mistakes, slices and uncertain predictions, with galleries of patches where the analysis holds them."""
    galleries, note = {}, ""
    if (details := analysis.details) is not None:
        galleries = {title: [_picture(int(row), details) for row in rows] for title, rows in details.galleries.items()}
        note = details.note
    return [
        *_mistakes(analysis, galleries, note),
        _slice_section(analysis),
        _unsure_section(galleries, "" if analysis.errors else note),  # said once per page
    ]


def _with_care(sections: list[Section], analysis: ErrorAnalysis) -> list[Section]:
    """Say above the first maps that nothing here has tested them; a report shows its test of them instead."""
    if analysis.details is None or not analysis.details.maps:
        return sections
    first = sections[0]
    return [replace(first, warnings=(*first.warnings, _UNCHECKED)), *sections[1:]]


def choose_galleries(found: SplitPredictions, pairs: Sequence[ConfusedPair]) -> dict[str, Rows]:
    """Rows of each gallery; none is among the largest losses and the confident mistakes at once."""
    wrong, right = np.flatnonzero(~found.right), np.flatnonzero(found.right)
    by_loss = wrong[np.argsort(-found.loss[wrong], kind="stable")]
    rest = by_loss[_LOSSES:]
    galleries = {"loss": by_loss[:_LOSSES]}
    for pair in pairs[:_PAIRS]:
        truth, called = class_numbers((pair.truth, pair.predicted), found.classes)
        members = by_loss[(found.truth[by_loss] == truth) & (found.predicted[by_loss] == called)]
        galleries[_pair_title(pair.truth, pair.predicted)] = members[:_EACH]
    galleries["sure"] = rest[np.argsort(-found.confidence[rest], kind="stable")][:_SURE]
    galleries["unsure"] = right[np.argsort(found.confidence[right], kind="stable")][:_UNSURE]
    return {title: rows for title, rows in galleries.items() if len(rows)}


def _pair_title(truth: str, called: str) -> str:
    return f"{truth} \u2192 {called}"


def evidence_maps(
    classifier: Classifier, found: SplitPredictions, rows: Rows, *, progress: Progress = silent
) -> tuple[Maps, str]:
    """Maps for the predicted class, and for the label where it is another; or why there are none."""
    maps: Maps = {}
    names = found.classes
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        progress("maps", start, len(rows))
        pixels = found.pixels[chunk]
        try:
            called, true = (
                class_evidence(classifier, pixels, classes=[names[k] for k in numbers[chunk]]).maps
                for numbers in (found.predicted, found.truth)
            )
        except SwathError as error:
            return {}, f"Patches are shown without maps: {error.problem}."
        maps |= {
            row: [called[place]] if found.right[row] else [called[place], true[place]]
            for place, row in enumerate(chunk.tolist())
        }
    progress("maps", len(rows), len(rows))
    note = (
        "Next to each patch: the evidence for the predicted class and, where that is wrong, the evidence for "
        "its label, both on one scale. Red is evidence for the class, blue against it; where there is little, the "
        "patch is left as it is."
    )
    return maps, note if maps else ""


def write_every_map(folder: Path, details: ErrorDetails, *, progress: Progress = silent) -> dict[int, str]:
    """Draw every mistake into ``maps/LABEL-as-PREDICTED/``, largest loss first.

    Each folder holds as many pictures as that cell of the confusion matrix counts.

    Returns
    -------
    dict of int to str
        The picture of each misclassified patch by its row, relative to `folder`.
    """
    found = details.predictions
    wrong = np.flatnonzero(~found.right)
    wrong = wrong[np.argsort(-found.loss[wrong], kind="stable")]
    pictures: dict[int, str] = {}
    ranks: dict[str, int] = {}
    for done, row in enumerate(wrong.tolist(), start=1):
        place = pair_folder(found.classes, int(found.truth[row]), int(found.predicted[row]))
        ranks[place] = ranks.get(place, 0) + 1
        stem = _plain(PurePosixPath(found.paths[row].replace("\\", "/")).stem)
        name = f"{place}/{ranks[place]:04d}-{stem}.jpg"
        (folder / place).mkdir(parents=True, exist_ok=True)
        picture = panels(found.pixels[row], bands=found.record.input.bands, maps=details.maps.get(row, ()))
        (folder / name).write_bytes(picture)
        pictures[row] = name
        progress("pictures", done, len(wrong))
    return pictures


def pair_folder(classes: Sequence[str], truth: int, called: int) -> str:
    """The folder of one kind of mistake; class numbers keep names apart that a file system cannot."""
    return f"{MAPS}/{truth}-{_plain(classes[truth])}-as-{called}-{_plain(classes[called])}"


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:60] or "image"


def _picture(row: int, details: ErrorDetails) -> Image:
    found = details.predictions
    label, called = found.part.labels[row], found.predictions.labels[row]
    sure = f"{100 * found.confidence[row]:.1f} %"
    caption = (
        f"{called}, {sure}" if label == called else f"{label}, predicted {called} ({sure}); loss {found.loss[row]:.2f}"
    )
    data = panels(found.pixels[row], bands=found.record.input.bands, maps=details.maps.get(row, ()))
    return Image(data, f"Patch {found.paths[row]}", f"{caption}. {found.paths[row]}")


def _mistakes(analysis: ErrorAnalysis, galleries: dict[str, list[Image]], note: str) -> list[Section]:
    if not analysis.errors:
        return [
            Section(
                "No mistake",
                text=[
                    f"The model predicts the label of all {analysis.n:,} patches. That does not make it "
                    f"perfect: with so many patches an error rate up to {100 * (1 - analysis.accuracy.low):.2f} % "
                    "is compatible (95 % interval)."
                ],
                warnings=analysis.warnings,
            )
        ]
    pairs = [(p.truth, p.predicted, p.n, p.share) for p in analysis.pairs]
    weak = [
        (w.name, w.scores.recall.n, w.scores.f1, w.scores.recall, w.scores.precision, most(w.predicted), most(w.taken))
        for w in analysis.weakest
    ]
    shown = [
        _pair_title(p.truth, p.predicted) for p in analysis.pairs if _pair_title(p.truth, p.predicted) in galleries
    ]
    sections = [
        Section(
            "Confused pairs",
            text=["Pairs of label and answer, most frequent first.", *([note] if note else [])],
            warnings=analysis.warnings,
            tables=[Table(("label", "predicted", "patches", "share of the class"), pairs)],
            images=[evidence_key()] if galleries and note and "Next to" in note else [],
        ),
        *(Section(title, tiles=galleries[title]) for title in shown),
        Section(
            "Weakest classes",
            text=["Classes with mistakes, lowest F1 first."],
            tables=[Table(("class", "n", "F1", "recall", "precision", "predicted instead", "wrongly predicted"), weak)],
        ),
        Section(
            "Largest losses",
            text=[
                "Mistakes in which the label was given least probability. Either the model is badly wrong here "
                "or the label is."
            ],
            tiles=galleries.get("loss", ()),
        ),
    ]
    if "sure" in galleries:
        text = ["Of the mistakes not shown above, those the model was most confident of."]
        sections.append(Section("Most confident other mistakes", text=text, tiles=galleries["sure"]))
    return sections


def _slice_section(analysis: ErrorAnalysis) -> Section:
    rows = [
        (
            f"{s.by}: {written(s.name, limit=48)}",
            s.accuracy.n,
            s.accuracy,
            points(s.difference),
            f"{100 * s.expected:.1f} %",
            p_text(s.corrected),
        )
        for s in analysis.slices[:_SLICES]
    ]
    text = [slices_sentence(analysis.slices)]
    if rows:
        text.append(
            "Each slice is compared with all other patches by Fisher's exact test, and the p-values are corrected "
            "for the number of slices (Holm). The accuracy expected of its classes is what the slice would have if "
            "each of its classes did as well in it as in the whole split: a slice that is no worse than that is hard "
            "because of its classes, not of its light."
        )
    if analysis.alike:
        text.append(f"All patches are alike in {', '.join(analysis.alike)}.")
    columns = ("slice", "n", "accuracy", "against the rest", "expected of its classes", "p, corrected")
    return Section("Slices", text=text, tables=[Table(columns, rows)] if rows else ())


def _every_section(analysis: ErrorAnalysis, folder: Path) -> list[Section]:
    """Where the pictures of all mistakes lie, pair by pair."""
    details = analysis.details
    if details is None or not details.every_map:
        return []
    found = details.predictions
    cells = [(int(i), int(j)) for i, j in np.argwhere(found.confusion > 0) if i != j]
    cells.sort(key=lambda cell: (-found.confusion[cell], cell))
    links = [
        Link(
            _pair_title(found.classes[i], found.classes[j]),
            folder / pair_folder(found.classes, i, j),
            f"{found.confusion[i, j]:,}",
        )
        for i, j in cells
    ]
    return [
        Section(
            "Every mistake",
            text=[
                f"One picture for each of the {analysis.errors:,} mistakes, a folder per label and answer, largest "
                "loss first; errors.csv names the picture of each patch."
            ],
            links=links,
        )
    ]


def _unsure_section(galleries: dict[str, list[Image]], note: str) -> Section:
    text = ["Right answers with the lowest confidence: the next mistakes.", *([note] if note else [])]
    if "unsure" not in galleries:
        text = ["No patch is answered as it is labeled."]
    return Section("Right, but unsure", text=text, tiles=galleries.get("unsure", ()))


def _points(analysis: ErrorAnalysis) -> list[Point]:
    """The most frequent mistake, the weakest class, the slices, and what the model has seen of the patches."""
    seen = analysis.seen
    said = []
    if seen.seen:
        text = f"of {seen.patches:,} patches have been seen by the model: on them this is no test"
        said.append(Point("beware", text, f"{seen.seen:,}", sentence(seen.remainder_sentence)))
    elif not seen.known:
        said.append(Point("beware", sentence(seen.sentence)))
    if not analysis.errors:
        said.append(Point("good", "of the patches are answered as they are labeled", f"{analysis.n:,}"))
    else:
        first, weakest = analysis.pairs[0], analysis.weakest[0]
        value, interval = percent(first.share)
        said.append(
            Point(
                "fails",
                f"of {first.share.n:,} patches of {written(first.truth)} are called {written(first.predicted)}",
                f"{first.n:,}",
                f"{value}, 95 % interval {interval}; the most frequent mistake",
            )
        )
        value, interval = percent(weakest.scores.f1)
        small = f"95 % interval {interval}, {weakest.scores.recall.n:,} patches"
        said.append(Point("fails", f"F1 of {written(weakest.name)}, the weakest class", value, small))
    worse = [s for s in analysis.slices if s.clear and s.difference.value < 0]
    if worse:
        s = min(worse, key=lambda one: one.difference.value)
        text = f"of accuracy {s.where}, against the rest"
        small = f"95 % interval {100 * s.difference.low:+.1f} to {100 * s.difference.high:+.1f} points, "
        small += f"{p_value(s.corrected)} corrected for {len(analysis.slices)} slices"
        said.append(Point("fails", text, f"{100 * s.difference.value:+.1f} points", small))
    if analysis.errors:
        text = "to look at: some labels may be wrong (swath label-issues)"
        said.append(Point("next", text, counted(analysis.errors, "mistake", "mistakes")))
    return said


def _next_section(analysis: ErrorAnalysis) -> Section:
    text: Sequence[str] = (
        "Some mistakes are the labels'. To list labels that are probably wrong, by networks that did not learn "
        "from them: swath label-issues INDEX --out DIR. Review the list, then: swath data relabel.",
    )
    if analysis.split == "test":
        text = (*text, "What is changed after looking at this page must be tested on other patches.")
    return Section("What next", text=text)
