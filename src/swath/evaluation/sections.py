"""The parts a swath report is made of, built from plain values and finished files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from swath.evaluation.calibration import reliability_images
from swath.evaluation.results import (
    BinaryEvaluation,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
    display_name,
)
from swath.explain.faithful import Faithfulness
from swath.model.record import ClassInfo, Record
from swath.pages.html import Cell, Image, Link, Number, Section, Swatch, Table
from swath.pages.wording import points

Pieces = tuple[Sequence[Number], Sequence[Table], Sequence[Image], Sequence[str]]
_BASELINE_NAMES = {"majority": "Always the commonest class", "color": "Colors alone, logistic regression"}
_BESIDE = "Beside two simple rules, same patches"


def task_pieces(evaluation: Evaluation, folder: Path) -> Pieces:
    """Key numbers, tables, pictures and the names of further files, from a folder of :func:`evaluate`."""
    match evaluation:
        case SingleLabelEvaluation():
            return _single_label(evaluation, folder)
        case BinaryEvaluation():
            return _binary(evaluation, folder)
        case MultiLabelEvaluation():
            return _multi_label(evaluation, folder)
    raise TypeError(f"no section is made of a {type(evaluation).__name__}")


def _single_label(evaluation: SingleLabelEvaluation, folder: Path) -> Pieces:
    rows: list[Sequence[Cell]] = [("This model", evaluation.accuracy, evaluation.macro_f1, "")]
    rows.extend(
        (_BASELINE_NAMES.get(name, name), b.accuracy, b.macro_f1, points(b.difference.macro_f1))
        for name, b in evaluation.baselines.items()
    )
    classes = [
        (name, scores.recall.n, scores.precision, scores.recall, scores.f1)
        for name, scores in evaluation.per_class.items()
    ]
    numbers = (
        Number("accuracy", evaluation.accuracy, f"n = {evaluation.n:,}"),
        Number("macro-F1", evaluation.macro_f1, "mean over classes"),
    )
    tables = (
        Table(("rule", "accuracy", "macro-F1", "model's lead in macro-F1"), rows, _BESIDE),
        Table(("class", "n", "precision", "recall", "F1"), classes, "Class by class, with 95 % intervals"),
        *(evaluation.reliability.tables() if evaluation.reliability else ()),
    )
    images = (
        _confusion(folder),
        Image(
            folder / "per_class.png", "F1 of each class with its interval", "F1 of each class, weakest first."
        ),
        *(reliability_images(folder) if evaluation.reliability else ()),
    )
    return numbers, tables, images, ("confusion.csv",)


def _binary(evaluation: BinaryEvaluation, folder: Path) -> Pieces:
    notes = {
        "average_precision": f"guessing: {100 * evaluation.positives / evaluation.n:.1f} %",
        "auroc": "guessing: 50 %",
        "f1": f"of {evaluation.positive} at the threshold {evaluation.threshold:.3f}",
        "accuracy": f"n = {evaluation.n:,}, of which {evaluation.positives:,} are {evaluation.positive}",
    }
    numbers = [
        Number(display_name(name), value, notes.get(name, ""))
        for name, value in evaluation.headline().items()
    ]
    rows: list[Sequence[Cell]] = [
        ("This model", evaluation.average_precision, evaluation.f1, evaluation.accuracy, "")
    ]
    rows.extend(
        (
            _BASELINE_NAMES.get(name, name),
            b.average_precision,
            b.f1,
            b.accuracy,
            points(b.difference.average_precision),
        )
        for name, b in evaluation.baselines.items()
    )
    columns = ("rule", "average precision", "F1", "accuracy", "model's lead in average precision")
    caption = f"{_BESIDE}; F1 and accuracy of the rules are those at 0.5"
    return (
        numbers,
        (Table(columns, rows, caption), *(evaluation.reliability.tables() if evaluation.reliability else ())),
        (
            _curves(folder),
            _confusion(folder),
            *(reliability_images(folder) if evaluation.reliability else ()),
        ),
        ("confusion.csv",),
    )


def _multi_label(evaluation: MultiLabelEvaluation, folder: Path) -> Pieces:
    notes = {
        "macro_f1": "mean over labels",
        "micro_f1": "all answers together",
        "mean_average_precision": "mean over labels, whatever the thresholds",
        "subset_accuracy": f"all labels of a patch right; n = {evaluation.n:,}",
    }
    numbers = [
        Number(display_name(name), value, notes[name]) for name, value in evaluation.headline().items()
    ]
    rows = [
        (
            name,
            c.recall.n,
            f"{100 * c.recall.n / evaluation.n:.1f} %",
            f"{c.threshold:.3f}",
            c.average_precision,
            c.precision,
            c.recall,
            c.f1,
        )
        for name, c in evaluation.per_class.items()
    ]
    columns = ("label", "n", "share", "threshold", "average precision", "precision", "recall", "F1")
    caption = "Label by label, with 95 % intervals; guessing has an average precision of the label's share"
    images = (
        _curves(folder),
        Image(
            folder / "per_class.png", "F1 of each label with its interval", "F1 of each label, weakest first."
        ),
    )
    return numbers, (Table(columns, rows, caption),), images, ("labels.csv",)


def _confusion(folder: Path) -> Image:
    return Image(
        folder / "confusion.png",
        "Confusion matrix, true classes in rows",
        "Counts of true (rows) and predicted (columns) classes; color: share of the true class.",
    )


def _curves(folder: Path) -> Image:
    return Image(
        folder / "curves.png",
        "Precision-recall and ROC curves",
        "Precision against recall, and true against false positive rate, over all thresholds; the dot is the "
        "model's own threshold, dashed what guessing gives.",
    )


def data_section(
    counts: Mapping[str, Mapping[str, int]],
    *,
    patches: int,
    sentences: Sequence[str] = (),
    samples: Path | bytes | None = None,
) -> Section:
    """Describe the patches.

    Parameters
    ----------
    counts : mapping of str to mapping of str to int
        Patches of each class in each split.
    patches : int
        How many there are; more classes than one a patch make the counts add up to more.
    sentences : sequence of str
        What the audit found, in plain words.
    samples : Path or bytes, optional
        A sheet of sample patches.
    """
    order = ("train", "val", "test")
    there = {split for row in counts.values() for split in row}
    splits = [*(s for s in order if s in there), *sorted(there - set(order))]
    rows: list[tuple[Cell, ...]] = [
        (name, *(row.get(s, 0) for s in splits), sum(row.values())) for name, row in counts.items()
    ]
    totals = [sum(row.get(s, 0) for row in counts.values()) for s in splits]
    each = [Number(split, f"{total:,}") for split, total in zip(splits, totals, strict=True)]
    images = (
        [] if samples is None else [Image(samples, "Sample patches of each class", "Samples of each class.")]
    )
    return Section(
        "Data",
        text=tuple(sentences),
        numbers=(
            Number("patches", f"{patches:,}"),
            Number("classes", str(len(counts))),
            *(each if sum(totals) == patches else ()),
        ),
        tables=(Table(("class", *splits, "all"), rows, "Patches of each class"),),
        images=images,
    )


def training_section(
    curves: Path | bytes, *, facts: Mapping[str, str], links: Sequence[Link] = ()
) -> Section:
    """Show how training went: the curves, and facts such as recipe, epochs and time."""
    return Section(
        "Training",
        numbers=[Number(label, value) for label, value in facts.items()],
        images=(Image(curves, "Loss and accuracy over the epochs", "Loss and accuracy over the epochs."),),
        links=links,
    )


def result_section(evaluation: Evaluation, folder: Path, *, title: str = "Test result") -> Section:
    """Show an evaluation beside its baselines, from the folder :func:`evaluate` wrote."""
    origin = (
        "It was kept apart from training."
        if evaluation.same_index and evaluation.split == "test"
        else ""
        if evaluation.same_index
        else "The index is another than the model's own, so these files do not show whether the model has "
        "seen some of the patches."
    )
    text = [f"{evaluation.n:,} patches of the split '{evaluation.split}'. {origin}".strip()]
    text.append(f"How the model's own data was split: {evaluation.protocol}.")
    numbers, tables, images, files = task_pieces(evaluation, folder)
    return Section(
        title,
        text=text,
        numbers=numbers,
        warnings=evaluation.warnings,
        tables=tables,
        images=images,
        links=[Link(name, folder / name) for name in ("metrics.json", *files, "predictions.csv")],
    )


def explanation_section(
    sheet: Path | bytes, *, checks: Sequence[Faithfulness] = (), links: Sequence[Link] = ()
) -> Section:
    """Show where the model looked: a contact sheet of class activation maps, and which of them fail.

    Parameters
    ----------
    sheet : Path or bytes
        The sheet.
    checks : sequence of Faithfulness
        Of its maps, where they were checked; the sheet tells them one by one.
    links : sequence of Link
        Further pictures.
    """
    text = [
        "Class activation maps: how much each place adds to (red) or takes from (blue) the score of the "
        "class. They are exact for this kind of network, but only as fine as its last grid.",
    ]
    failed = sum(not check.holds for check in checks)
    if checks:
        text.append(
            "Each map was held against 19 random ones: the pixels it marks were hidden, most marked first, and "
            f"the answer had to suffer more than under 18 of them. {len(checks) - failed} of {len(checks)} maps "
            "hold; under those that fail it says so: the answer does not rest on what they mark."
        )
    return Section(
        "Where the model looks",
        text=text,
        images=(Image(sheet, "Patches with their class activation maps", "Each patch above its map."),),
        links=links,
    )


def map_section(
    picture: Path | bytes,
    *,
    classes: Sequence[ClassInfo],
    hectares: Mapping[str, float],
    sentences: Sequence[str] = (),
    numbers: Sequence[Number] = (),
    links: Sequence[Link] = (),
    scene: Path | bytes | None = None,
) -> Section:
    """Show a land map with its legend and the area of each class, largest first.

    Parameters
    ----------
    picture : Path or bytes
        The map, drawn in the classes' colors.
    classes : sequence of ClassInfo
        Names and colors.
    hectares : mapping of str to float
        Area of each class; classes without an entry cover nothing.
    sentences : sequence of str
        What is worth saying about the map.
    numbers : sequence of Number
        Such as the agreement with a known truth.
    links : sequence of Link
        The files.
    scene : Path or bytes, optional
        The scene itself, shown beside the map.
    """
    total = sum(hectares.values())
    ordered = sorted(classes, key=lambda c: -hectares.get(c.name, 0.0))
    rows = [
        (
            Swatch(c.color_hint, c.name),
            hectares.get(c.name, 0.0),
            100 * hectares.get(c.name, 0.0) / max(total, 1e-12),
        )
        for c in ordered
    ]
    images = [] if scene is None else [Image(scene, "The scene in true color", "The scene.")]
    images.append(Image(picture, "Land map, one color a class", "The map; colors as in the table."))
    return Section(
        "Map",
        text=tuple(sentences),
        numbers=numbers,
        tables=(Table(("class", "hectares", "% of the map"), rows, "Legend and area"),),
        images=images,
        links=links,
    )


def provenance_section(
    record: Record, *, facts: Mapping[str, str] | None = None, links: Sequence[Link] = ()
) -> Section:
    """Say where model and data came from, from the model's record and further `facts`."""
    values = {
        "model": record.name,
        "trained": record.created,
        "network": f"{record.architecture}, {record.total_parameters:,} parameters",
        "input": f"{', '.join(record.input.bands)}; {record.input.size} pixels; {record.input.data_type}",
        "data": record.data.name,
        "data fingerprint": record.data.fingerprint,
        "split": record.data.split_protocol,
        "data license": record.data.license or "not stated",
        "attribution": record.data.attribution or "not stated",
        "model license": record.license,
        "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items())
        or "not stated",
        **(facts or {}),
    }
    return Section("Provenance", tables=(Table(("what", "value"), list(values.items())),), links=links)
