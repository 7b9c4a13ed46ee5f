"""What a report shows of an evaluation: the numbers, tables and pictures of each task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.evaluation.report import Cell, Image, Number, Table
from swath.evaluation.results import (
    BinaryEvaluation,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
    spoken,
)
from swath.evaluation.trust import trust_images
from swath.evaluation.wording import points

Pieces = tuple[Sequence[Number], Sequence[Table], Sequence[Image], Sequence[str]]

_BASELINE_NAMES = {"majority": "Always the commonest class", "colour": "Colours alone, logistic regression"}
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
        *(evaluation.trust.tables() if evaluation.trust else ()),
    )
    images = (
        _confusion(folder),
        Image(
            folder / "per_class.png", "F1 of each class with its interval", "F1 of each class, weakest first."
        ),
        *(trust_images(folder) if evaluation.trust else ()),
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
        Number(spoken(name), value, notes.get(name, "")) for name, value in evaluation.headline().items()
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
        (Table(columns, rows, caption), *(evaluation.trust.tables() if evaluation.trust else ())),
        (_curves(folder), _confusion(folder), *(trust_images(folder) if evaluation.trust else ())),
        ("confusion.csv",),
    )


def _multi_label(evaluation: MultiLabelEvaluation, folder: Path) -> Pieces:
    notes = {
        "macro_f1": "mean over labels",
        "micro_f1": "all answers together",
        "mean_average_precision": "mean over labels, whatever the thresholds",
        "subset_accuracy": f"all labels of a patch right; n = {evaluation.n:,}",
    }
    numbers = [Number(spoken(name), value, notes[name]) for name, value in evaluation.headline().items()]
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
        "Counts of true (rows) and predicted (columns) classes; colour: share of the true class.",
    )


def _curves(folder: Path) -> Image:
    return Image(
        folder / "curves.png",
        "Precision-recall and ROC curves",
        "Precision against recall, and true against false positive rate, over all thresholds; the dot is the "
        "model's own threshold, dashed what guessing gives.",
    )
