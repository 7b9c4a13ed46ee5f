"""Pictures of an evaluation, each as PNG bytes: confusion matrix, F1 per class, curves, reliability, sample patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swath.evaluation.calibration import Calibration, risk_coverage
from swath.evaluation.metrics import ClassMetrics, LabelMetrics, Metrics, MultiLabelMetrics
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.ranking import Curve, auroc, average_precision, precision_recall_curve, roc_curve
from swath.pages.figures import ACCENT, GRID, INK, SOFT, draw_sheet, finish_axis, plain_legend, tile, to_png
from swath.pages.text import written

_TILE, _GAP = 100, 5  # pixels of a patch in the sample grid, and between two
_LONGEST = 40  # inches per side: thousands of classes must not take gigabytes to draw
_INSIDE, _NAMED = 6, 24  # classes that are named inside the axes, and at all
_POINTS = 2000  # of a curve: more cannot be seen
Style = Literal["default", "steps-pre"]


def confusion_picture(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Draw counts on colors normalized by row, so that small classes are as readable as large ones.

    Cells without a patch stay empty: what is written is what went somewhere.

    Parameters
    ----------
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows.
    names : sequence of str
        The K class names.

    Returns
    -------
    bytes
        A PNG.
    """
    texts = [[str(count) if count else "" for count in row] for row in confusion.tolist()]
    return matrix_picture(confusion, names, texts=texts, up="true", across="predicted", of="the true class")


def matrix_picture(
    values: npt.NDArray[Any], names: Sequence[str], *, texts: Sequence[Sequence[str]], up: str, across: str, of: str
) -> bytes:
    """Draw a matrix of classes by classes on colors normalized by row.

    Parameters
    ----------
    values : numpy.ndarray
        ``[K, K]``, not negative.
    names : sequence of str
        The K class names.
    texts : sequence of sequence of str
        ``[K][K]``, what is written into the cells.
    up, across : str
        What rows and columns are.
    of : str
        What the colors are shares of.

    Returns
    -------
    bytes
        A PNG.
    """
    k = len(names)
    whole = values.sum(axis=1, keepdims=True)
    share = values / np.where(whole > 0, whole, 1)
    side = min(max(3.2, 0.62 * k if k <= 15 else 0.36 * k), _LONGEST)
    figure = Figure(figsize=(side + 2.6, side + 1.6), layout="compressed")
    axis = figure.subplots()
    picture = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size, ticks, turn, align, anchor = (9, 9, 45, "right", "anchor") if k <= 15 else (5.5, 7, 90, "center", "default")
    written_out = np.argwhere(values > 0) if side < _LONGEST else ()  # else cells are finer than digits
    for row, column in written_out:
        color = "white" if share[row, column] > 0.55 else INK
        axis.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=color)
    labels = [written(name, limit=24) for name in names]
    axis.set_xticks(range(k), labels, rotation=turn, ha=align, rotation_mode=anchor, fontsize=ticks, parse_math=False)
    axis.set_yticks(range(k), labels, fontsize=ticks, parse_math=False)
    axis.set_xlabel(across, color=INK)
    axis.set_ylabel(up, color=INK)
    axis.set_xticks(np.arange(k + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(k + 1) - 0.5, minor=True)
    axis.grid(which="minor", color=GRID, linewidth=0.6)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axis, fraction=0.04, pad=0.02)
    bar.set_label(f"share of {of}", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return to_png(figure, dpi=130)


def class_picture(metrics: Metrics | MultiLabelMetrics) -> bytes:
    """Draw F1 of each class with its interval, weakest first, and macro-F1 as a line.

    The axis starts where the lowest interval does, so it is a dot plot: bars would need zero. Classes
    without a patch, of which nothing is known, are left out.

    Parameters
    ----------
    metrics : Metrics or MultiLabelMetrics
        Of one model.

    Returns
    -------
    bytes
        A PNG.
    """
    of_each: Mapping[str, ClassMetrics | LabelMetrics] = metrics.per_class
    there = [(name, scores) for name, scores in of_each.items() if scores.recall.n]
    rows = sorted(there, key=lambda item: item[1].f1.value, reverse=True)
    places = np.arange(len(rows))
    figure = Figure(figsize=(7.2, min(1.3 + 0.3 * len(rows), _LONGEST)), layout="constrained")
    axis = figure.subplots()
    for place, (_, scores) in zip(places, rows, strict=True):
        axis.plot([scores.f1.low, scores.f1.high], [place, place], color=SOFT, linewidth=5, alpha=0.45)
    axis.plot([scores.f1.value for _, scores in rows], places, "o", color=ACCENT, markersize=6)
    axis.axvline(metrics.macro_f1.value, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    labels = [f"{written(name, limit=24)}  (n = {scores.recall.n})" for name, scores in rows]
    axis.set_yticks(places, labels, fontsize=8, parse_math=False)
    low = min(scores.f1.low for _, scores in rows)
    axis.set_xlim(max(0.0, low - 0.03), 1.005)
    axis.set_xlabel(f"F1 with 95 % interval; dashed: macro-F1 {metrics.macro_f1.value:.3f}", fontsize=8)
    axis.tick_params(axis="both", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color=GRID)
    axis.spines[:].set_visible(False)
    return to_png(figure, dpi=130)


def sample_grid(pixels: npt.NDArray[Any], labels: Sequence[str], *, bands: Sequence[str], each: int = 8) -> bytes:
    """Draw the first `each` patches of every class, one class per row.

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

    Returns
    -------
    bytes
        A PNG.
    """
    classes = sorted(set(labels))
    tiles = {(0, each - 1): np.full((_TILE, _TILE, 3), 255, np.uint8)}  # the sheet has all columns
    # One picture rather than an axis per patch, which takes seconds to lay out.
    for row, name in enumerate(classes):
        members = [i for i, label in enumerate(labels) if label == name][:each]
        tiles |= {(row, k): tile(pixels[i], bands, side=_TILE) for k, i in enumerate(members)}
    figure = Figure(figsize=(0.95 * each + 2.6, 0.95 * len(classes) + 0.1), layout="constrained")
    draw_sheet(figure, tiles, gap=_GAP, rows=[written(name, limit=24) for name in classes])
    return to_png(figure)


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


def curves_picture(classes: Sequence[ClassScores]) -> bytes:
    """Draw both curves of each class, with a dot where its threshold stands.

    Dashed: what guessing gives (for precision the share of positives, drawn for one class alone).

    Parameters
    ----------
    classes : sequence of ClassScores
        The classes that occur; for one that every patch has there is no ROC curve.

    Returns
    -------
    bytes
        A PNG.
    """
    aside = len(classes) > _INSIDE
    figure = Figure(figsize=(13.4 if aside else 10.4, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    # Weakest first, so that the ones to look at are named before the legend is full.
    curves: list[Line2D] = []
    areas: list[Line2D] = []
    for one in sorted(classes, key=lambda c: average_precision(c.truth, c.scores)):
        name = written(one.name, limit=24)
        precision = f"AP {average_precision(one.truth, one.scores):.3f}"
        area = f"AUROC {auroc(one.truth, one.scores):.3f}" if 0 < one.truth.sum() < len(one.truth) else ""
        label = f"{name}: {precision}" + (f", {area}" if aside and area else "")
        # Average precision is the area under these steps: a precision holds back to the recall before it.
        curves.append(_draw(left, precision_recall_curve(one.truth, one.scores), one, label=label, style="steps-pre"))
        if area:
            areas.append(_draw(right, roc_curve(one.truth, one.scores), one, label=f"{name}: {area}", style="default"))
    if len(classes) == 1:
        left.axhline(float(classes[0].truth.mean()), color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    right.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    for axis in (left, right):
        axis.set_xlim(-0.01, 1.01)
        axis.set_ylim(-0.01, 1.02)
    finish_axis(left, across="recall", up="precision")
    finish_axis(right, across="false positive rate", up="true positive rate (recall)")
    # Left to itself matplotlib names no curve whose class begins with "_".
    if aside:
        shown = curves[:_NAMED]
        plain_legend(figure.legend(shown, _labels(shown), loc="outside right center", fontsize=7.5))
        return to_png(figure, dpi=130)
    for axis, shown, corner in ((left, curves, "lower left"), (right, areas, "lower right")):
        if shown:
            plain_legend(axis.legend(shown, _labels(shown), loc=corner, fontsize=8))
    return to_png(figure, dpi=130)


def _labels(lines: Sequence[Line2D]) -> list[str]:
    return [str(line.get_label()) for line in lines]


def _draw(axis: Axes, curve: Curve, one: ClassScores, *, label: str, style: Style) -> Line2D:
    thin = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), _POINTS)).round().astype(int))
    color = f"#{one.color}"
    (line,) = axis.plot(curve.x[thin], curve.y[thin], color=color, linewidth=1.6, label=label, drawstyle=style)
    place = int(np.searchsorted(-curve.thresholds, -one.threshold, side="right")) - 1
    axis.plot(curve.x[place], curve.y[place], "o", color=color, markersize=6, markeredgecolor=INK)
    return line


def reliability_picture(calibration: Calibration, right: npt.NDArray[np.bool_], confidence: npt.NDArray[Any]) -> bytes:
    """Draw the reliability diagram, and the risk-coverage curve next to it.

    Parameters
    ----------
    calibration : Calibration
        Of a model.
    right, confidence : numpy.ndarray
        ``[N]``: whether each answer is right, and how sure it was.

    Returns
    -------
    bytes
        A PNG.
    """
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, other = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    most = max(1, *(b.observed.n for b in calibration.bins))
    for one in calibration.bins:
        if one.observed.n:
            share = one.observed.n / most
            left.bar(one.low, 0.12 * share, width=one.high - one.low, align="edge", color=GRID, zorder=0)
            left.plot([one.stated] * 2, [one.observed.low, one.observed.high], color=SOFT, linewidth=4, alpha=0.5)
            left.plot(one.stated, one.observed.value, "o", color=ACCENT, markersize=5)
    left.set_ylim(-0.01, 1.02)
    ece = calibration.ece
    stated = f"stated probability (gray: how many); ECE {ece.value:.4f} ({ece.low:.4f}\u2013{ece.high:.4f})"
    finish_axis(left, across=stated, up="observed frequency")
    coverage, risk = risk_coverage(right, confidence)
    other.plot(coverage, 100 * risk, color=ACCENT, linewidth=1.8)
    other.axhline(100 * float(risk[-1]), color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    other.set_ylim(bottom=0)
    for axis in (left, other):
        axis.set_xlim(-0.01, 1.01)
    finish_axis(other, across="share of predictions kept, most confident first", up="% of them wrong (dashed: of all)")
    return to_png(figure, dpi=130)
