"""The picture of how well scores rank patches: precision against recall, and the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swath.evaluation.ranking import Curve, auroc, average_precision, precision_recall_curve, roc_curve
from swath.explain.figures import save, written
from swath.files import atomic_file

_INK, _SOFT = "#1d2a33", "#8a98a1"
_INSIDE, _NAMED = 6, 24  # classes that are named inside the axes, and at all
_POINTS = 2000  # of a curve: more cannot be seen
Style = Literal["default", "steps-pre"]


@dataclass(frozen=True)
class Ranked:
    """One class with the true answers ``[N]`` bool, its probabilities ``[N]``, threshold and colour (RRGGBB)."""

    name: str
    colour: str
    truth: npt.NDArray[np.bool_]
    scores: npt.NDArray[Any]
    threshold: float


def curves_picture(path: Path, classes: Sequence[Ranked], *, overwrite: bool = False) -> None:
    """Draw both curves of each class, with a dot where its threshold stands.

    Dashed: what guessing gives (for precision the share of positives, drawn for one class alone).

    Parameters
    ----------
    path : Path
        The PNG to write.
    classes : sequence of Ranked
        The classes that occur; for one that every patch has there is no ROC curve.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
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
        curves.append(
            _draw(left, precision_recall_curve(one.truth, one.scores), one, label=label, style="steps-pre")
        )
        if area:
            areas.append(
                _draw(right, roc_curve(one.truth, one.scores), one, label=f"{name}: {area}", style="default")
            )
    if len(classes) == 1:
        left.axhline(float(classes[0].truth.mean()), color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    right.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    _finish(left, "recall", "precision")
    _finish(right, "false positive rate", "true positive rate (recall)")
    # Left to itself matplotlib names no curve whose class begins with "_".
    if aside:
        shown = curves[:_NAMED]
        legends = [figure.legend(shown, _labels(shown), loc="outside right center", fontsize=7.5)]
    else:
        legends = [
            axis.legend(shown, _labels(shown), loc=corner, fontsize=8)
            for axis, shown, corner in ((left, curves, "lower left"), (right, areas, "lower right"))
            if shown
        ]
    for text in (text for legend in legends for text in legend.get_texts()):
        text.set_parse_math(False)
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary, dpi=130)


def _labels(lines: Sequence[Line2D]) -> list[str]:
    return [str(line.get_label()) for line in lines]


def _draw(axis: Axes, curve: Curve, one: Ranked, *, label: str, style: Style) -> Line2D:
    thin = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), _POINTS)).round().astype(int))
    colour = f"#{one.colour}"
    (line,) = axis.plot(
        curve.x[thin], curve.y[thin], color=colour, linewidth=1.6, label=label, drawstyle=style
    )
    place = int(np.searchsorted(-curve.thresholds, -one.threshold, side="right")) - 1
    axis.plot(curve.x[place], curve.y[place], "o", color=colour, markersize=6, markeredgecolor=_INK)
    return line


def _finish(axis: Axes, across: str, up: str) -> None:
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.02)
    axis.set_xlabel(across, color=_INK, fontsize=9)
    axis.set_ylabel(up, color=_INK, fontsize=9)
    axis.tick_params(length=0, labelsize=8)
    axis.grid(color="#e3e8eb")
    axis.spines[:].set_visible(False)
