"""Charts of an evaluation: confusion matrix, F1 per class, curves, reliability; and strips of sample patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation.calibration import Calibration, risk_coverage
from swath.evaluation.metrics import ClassMetrics, LabelMetrics, Metrics, MultiLabelMetrics
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.ranking import Curve, auroc, average_precision, precision_recall_curve, roc_curve
from swath.pages.charts import Chart, Interval, Line, Panel, intervals_chart, matrix_chart, panels_chart
from swath.pages.figures import pixels_to_png, tile, tile_sheet
from swath.pages.html import Image
from swath.pages.text import written

_TILE, _GAP = 72, 4  # pixels of a sample patch, and between two
_DRAWN = 60  # classes that a chart shows; tables hold all
_NAMED = 24  # lines that a legend names
_CHANCE = "4 3"


def confusion_chart(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> Chart:
    """Draw counts on colors normalized by row, so that small classes are as readable as large ones.

    Cells without a patch stay empty: what is written is what went somewhere.

    Parameters
    ----------
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows.
    names : sequence of str
        The K class names.
    """
    kept, others = commonest(confusion)
    texts = [[str(count) if count else "" for count in row] for row in confusion[np.ix_(kept, kept)].tolist()]
    return matrix_chart(
        "Confusion matrix, true classes in rows",
        confusion[np.ix_(kept, kept)],
        [names[k] for k in kept],
        texts=texts,
        up="true",
        across="predicted",
        caption="Counts of true (rows) and predicted (columns) classes; color: share of the true class"
        + (f". The {len(kept)} commonest classes; {others:,} others are in the table." if others else "."),
    )


def commonest(confusion: npt.NDArray[Any]) -> tuple[list[int], int]:
    """Places of the classes to draw, those with most patches where there are very many; and how many are left out."""
    order = np.argsort(-(confusion.sum(axis=1) + confusion.sum(axis=0)), kind="stable")[:_DRAWN]
    return sorted(order.tolist()), len(confusion) - len(order)


def class_chart(metrics: Metrics | MultiLabelMetrics) -> Chart:
    """Draw F1 of each class with its interval, weakest first, and macro-F1 as a line.

    Classes without a patch, of which nothing is known, are left out.

    Parameters
    ----------
    metrics : Metrics or MultiLabelMetrics
        Of one model.
    """
    of_each: Mapping[str, ClassMetrics | LabelMetrics] = metrics.per_class
    there = [(name, scores) for name, scores in of_each.items() if scores.recall.n]
    rows = sorted(there, key=lambda item: item[1].f1.value)[:_DRAWN]
    macro = 100 * metrics.macro_f1.value
    return intervals_chart(
        "F1 of each class with its interval",
        [Interval.of(name, scores.f1, note=f" ({scores.recall.n:,})") for name, scores in rows],
        across=f"F1 in %, with 95 % interval; dashed: macro-F1 {macro:.1f} %; in parentheses: patches of the class",
        line=macro,
        caption="F1 of each class, weakest first"
        + (f"; the weakest {_DRAWN} of {len(there):,}." if len(there) > _DRAWN else "."),
    )


def sample_strips(
    pixels: npt.NDArray[Any], labels: Sequence[str], *, bands: Sequence[str], each: int = 8
) -> list[Image]:
    """Show the first `each` patches of every class, one strip per class.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    labels : sequence of str
        The N labels.
    bands : sequence of str
        One name per band.
    each : int
        Patches per class.
    """
    strips = []
    for name in sorted(set(labels)):
        members = [i for i, label in enumerate(labels) if label == name][:each]
        patches = [tile(pixels[i], bands, side=_TILE) for i in members]
        strips.append(patch_strip(patches, f"Patches of {name}", written(name, limit=48), places=each))
    return strips


def patch_strip(patches: Sequence[npt.NDArray[np.uint8]], alt: str, caption: str, *, places: int = 0) -> Image:
    """Lay patches of one size in a row, with room for `places` of them."""
    missing = max(0, places - len(patches))
    height, width = patches[0].shape[:2]
    sheet = tile_sheet({(0, k): patch for k, patch in enumerate(patches)}, gap=_GAP)
    clear = np.zeros((height, missing * (width + _GAP), 4), np.uint8)
    opaque = np.full((height, sheet.shape[1], 1), 255, np.uint8)
    seams = np.arange(sheet.shape[1]) % (width + _GAP) >= width
    opaque[:, seams] = 0
    return Image(pixels_to_png(np.concatenate([np.concatenate([sheet, opaque], axis=2), clear], axis=1)), alt, caption)


@dataclass(frozen=True)
class ClassScores:
    """One class with the true answers ``[N]`` bool, its probabilities ``[N]``, threshold and color (RRGGBB)."""

    name: str
    color: str
    truth: npt.NDArray[np.bool_]
    scores: npt.NDArray[Any]
    threshold: float


def class_scores(found: SplitPredictions) -> list[ClassScores]:
    """Truth and probabilities of the classes with a threshold that occur among the patches."""
    record = found.record
    truth = found.truth if record.task == "multi-label" else np.eye(2, dtype=bool)[found.truth]
    first = len(record.classes) - len(record.cuts)  # of two classes only the positive one has a threshold
    return [
        ClassScores(record.classes[k].name, record.classes[k].color_hint, truth[:, k], found.probabilities[:, k], cut)
        for k, cut in enumerate(record.cuts, start=first)
        if first or truth[:, k].any()
    ]


def curves_chart(classes: Sequence[ClassScores]) -> Chart:
    """Draw both curves of each class, with a dot where its threshold stands.

    Dashed: what guessing gives (for precision the share of positives, drawn for one class alone).

    Parameters
    ----------
    classes : sequence of ClassScores
        The classes that occur; for one that every patch has there is no ROC curve.
    """
    # Weakest first, so that the ones to look at are named before the legend is full.
    ordered = sorted(classes, key=lambda c: average_precision(c.truth, c.scores))
    precisions, rates = [], [Line([0, 1], [0, 1], color="soft", dash=_CHANCE)]
    marks: tuple[list[tuple[float, float, str]], list[tuple[float, float, str]]] = ([], [])
    if len(classes) == 1:
        precisions.append(Line([0, 1], [float(classes[0].truth.mean())] * 2, color="soft", dash=_CHANCE))
    for number, one in enumerate(ordered):
        color, name = f"#{one.color}", written(one.name, limit=40) if number < _NAMED else ""
        curve = precision_recall_curve(one.truth, one.scores)
        label = name and f"{name}: AP {average_precision(one.truth, one.scores):.3f}"
        # Average precision is the area under these steps: a precision holds back to the recall before it.
        precisions.append(Line(curve.x, curve.y, label, color, steps=True))
        marks[0].append((*_at_threshold(curve, one), color))
        if 0 < one.truth.sum() < len(one.truth):
            curve = roc_curve(one.truth, one.scores)
            label = name and f"{name}: AUROC {auroc(one.truth, one.scores):.3f}"
            rates.append(Line(curve.x, curve.y, label, color))
            marks[1].append((*_at_threshold(curve, one), color))
    return panels_chart(
        "Precision-recall and ROC curves",
        [
            Panel(precisions, title="Precision and recall", across="recall", up="precision", marks=marks[0]),
            Panel(rates, title="ROC", across="false positive rate", up="true positive rate (recall)", marks=marks[1]),
        ],
        columns=2,
        tall=240,
        caption="Precision against recall, and true against false positive rate, over all thresholds; the dot is the "
        "model's own threshold, dashed what guessing gives.",
    )


def _at_threshold(curve: Curve, one: ClassScores) -> tuple[float, float]:
    """Where the threshold of a class stands on its curve."""
    place = int(np.searchsorted(-curve.thresholds, -one.threshold, side="right")) - 1
    return float(curve.x[place]), float(curve.y[place])


def reliability_chart(calibration: Calibration, right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> Chart:
    """Draw the reliability diagram, and the risk-coverage curve next to it.

    Parameters
    ----------
    calibration : Calibration
        Of a model.
    right, confidence : numpy.ndarray
        ``[N]``: whether each answer is right, and how sure it was.
    """
    there = [one for one in calibration.bins if one.observed.n]
    most = max(1, *(b.observed.n for b in calibration.bins))
    ece = calibration.ece
    observed = Line(
        [one.stated for one in there],
        [one.observed.value for one in there],
        low=[one.observed.low for one in there],
        high=[one.observed.high for one in there],
        dots=True,
        joined=False,
    )
    coverage, risk = risk_coverage(right, confidence)
    wrong = 100 * risk
    every = float(wrong[-1])
    top = max(5.0, float(wrong.max()) * 1.1)
    return panels_chart(
        "Reliability diagram and risk-coverage curve",
        [
            Panel(
                [Line([0, 1], [0, 1], color="soft", dash=_CHANCE), observed],
                title=f"Reliability: ECE {100 * ece.value:.1f} % ({100 * ece.low:.1f}\u2013{100 * ece.high:.1f})",
                across="stated probability (gray: how many)",
                up="observed frequency",
                bars=[(one.low, one.high, 0.12 * one.observed.n / most) for one in there],
            ),
            Panel(
                [Line([0, 1], [every, every], color="soft", dash=_CHANCE), Line(coverage, wrong)],
                y=(0, top),
                title="Risk and coverage",
                across="share of predictions kept, most confident first",
                up="% of them wrong (dashed: of all)",
            ),
        ],
        columns=2,
        tall=230,
        caption="Reliability: observed frequency against stated probability, with 95 % intervals; calibrated "
        "probabilities lie on the dashed line. Risk: share of wrong predictions among the most confident ones.",
    )


def history_chart(history: Sequence[Mapping[str, float]], *, kept: int) -> Chart:
    """Draw how training went: loss and score of every epoch, with a dot at the epoch that was kept.

    Parameters
    ----------
    history : sequence of mapping
        One per epoch, as the rows of ``history.csv``.
    kept : int
        Place of the epoch that was kept.
    """
    epochs = [h["epoch"] for h in history]
    column = next(name for name in ("val_accuracy", "val_average_precision") if name in history[0])
    name = column.removeprefix("val_").replace("_", " ")
    learned, scores = ([100 * h[c] for h in history] for c in (column.replace("val_", "train_"), column))
    loss, val_loss = ([h[c] for h in history] for c in ("train_loss", "val_loss"))
    shown = f"{scores[kept]:.1f} %" + ("" if epochs[kept] else ": the start as it was")
    x = (min(epochs[0], 0.0), max(epochs[-1], 1.0))

    def lines(training: list[float], validation: list[float], what: str) -> list[Line]:
        return [
            _known(epochs, training, f"training ({what})", "accent", ""),
            _known(epochs, validation, "validation", "warm", "7 3"),
        ]

    def limits(*series: list[float]) -> tuple[float, float]:
        known = [value for values in series for value in values if np.isfinite(value)]
        return min(known), max(known) if max(known) > min(known) else min(known) + 1

    return panels_chart(
        "Loss and score over the epochs",
        [
            Panel(
                lines(loss, val_loss, "as minimized"),
                x=x,
                y=(0.0, limits(loss, val_loss)[1]),
                title="Loss",
                across="epoch",
            ),
            Panel(
                lines(learned, scores, "augmented batches"),
                x=x,
                y=limits(learned, scores),
                title=f"Validation {name}, kept {shown}",
                up=f"{name}, %",
                across="epoch",
                marks=[(epochs[kept], scores[kept], "warm")],
            ),
        ],
        columns=2,
        caption=f"Loss and {name} over the epochs; the dot is the epoch that was kept.",
    )


def _known(x: Sequence[float], y: Sequence[float], name: str, color: str, dash: str) -> Line:
    """A line through the epochs whose value is known."""
    there = [(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(b)]
    return Line([a for a, _ in there], [b for _, b in there], name, color, dash)
