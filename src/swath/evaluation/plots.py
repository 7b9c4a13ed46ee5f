"""Pictures of an evaluation: confusion matrix, bars of the classes, and a sheet of sample patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from swath.evaluation.metrics import ClassMetrics, Metrics
from swath.evaluation.multilabel import LabelMetrics, MultiLabelMetrics
from swath.explain.figures import displayed, save, written
from swath.files import atomic_file

_INK, _ACCENT, _SOFT = "#1d2a33", "#1f6f8b", "#8a98a1"
_TILE, _GAP = 100, 5  # pixels of a patch in the sample grid, and between two
_LONGEST = 40  # inches a side: thousands of classes must not take gigabytes to draw


def confusion_picture(
    path: Path, confusion: npt.NDArray[np.int64], names: Sequence[str], *, overwrite: bool = False
) -> None:
    """Draw counts on colours normalised by row, so that small classes are as readable as large ones.

    Cells without a patch stay empty: what is written is what went somewhere.

    Parameters
    ----------
    path : Path
        The PNG to write.
    confusion : numpy.ndarray
        ``[K, K]`` int64, true classes in rows.
    names : sequence of str
        The K class names.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
    """
    k = len(names)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(max(3.2, 0.62 * k if k <= 15 else 0.36 * k), _LONGEST)
    figure = Figure(figsize=(side + 2.6, side + 1.6), layout="compressed")
    axis = figure.subplots()
    picture = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = 9 if k <= 15 else 5.5
    written_out = np.argwhere(confusion > 0) if side < _LONGEST else ()  # else cells are finer than digits
    for row, column in written_out:
        colour = "white" if share[row, column] > 0.55 else _INK
        axis.text(
            column, row, f"{confusion[row, column]}", ha="center", va="center", fontsize=size, color=colour
        )
    labels = [written(name, limit=24) for name in names]
    ticks = 9 if k <= 15 else 7
    axis.set_xticks(range(k), labels, rotation=45 if k <= 15 else 90, fontsize=ticks, parse_math=False)
    for label in axis.get_xticklabels():
        label.set_horizontalalignment("right" if k <= 15 else "center")
        label.set_rotation_mode("anchor" if k <= 15 else "default")
    axis.set_yticks(range(k), labels, fontsize=ticks, parse_math=False)
    axis.set_xlabel("predicted", color=_INK)
    axis.set_ylabel("true", color=_INK)
    axis.set_xticks(np.arange(k + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(k + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="#e3e8eb", linewidth=0.6)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axis, fraction=0.04, pad=0.02)
    bar.set_label("share of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary, dpi=130)


def class_picture(path: Path, metrics: Metrics | MultiLabelMetrics, *, overwrite: bool = False) -> None:
    """Draw F1 of each class with its interval, weakest first, and macro-F1 as a line.

    The axis starts where the lowest interval does, so it is a dot plot: bars would need zero. Classes
    without a patch, of which nothing is known, are left out.

    Parameters
    ----------
    path : Path
        The PNG to write.
    metrics : Metrics or MultiLabelMetrics
        Of one model.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
    """
    of_each: Mapping[str, ClassMetrics | LabelMetrics] = metrics.per_class
    there = [(name, scores) for name, scores in of_each.items() if scores.recall.n]
    rows = sorted(there, key=lambda item: item[1].f1.value, reverse=True)
    places = np.arange(len(rows))
    figure = Figure(figsize=(7.2, min(1.3 + 0.3 * len(rows), _LONGEST)), layout="constrained")
    axis = figure.subplots()
    for place, (_, scores) in zip(places, rows, strict=True):
        axis.plot([scores.f1.low, scores.f1.high], [place, place], color=_SOFT, linewidth=5, alpha=0.45)
    axis.plot([scores.f1.value for _, scores in rows], places, "o", color=_ACCENT, markersize=6)
    axis.axvline(metrics.macro_f1.value, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
    labels = [f"{written(name, limit=24)}  (n = {scores.recall.n})" for name, scores in rows]
    axis.set_yticks(places, labels, fontsize=8, parse_math=False)
    low = min(scores.f1.low for _, scores in rows)
    axis.set_xlim(max(0.0, low - 0.03), 1.005)
    axis.set_xlabel(f"F1 with 95 % interval; dashed: macro-F1 {metrics.macro_f1.value:.3f}", fontsize=8)
    axis.tick_params(axis="both", length=0)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#e3e8eb")
    axis.spines[:].set_visible(False)
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary, dpi=130)


def sample_grid(
    path: Path,
    pixels: npt.NDArray[Any],
    labels: Sequence[str],
    *,
    bands: Sequence[str],
    each: int = 8,
    overwrite: bool = False,
) -> None:
    """Draw the first `each` patches of every class, one class a row.

    Parameters
    ----------
    path : Path
        The PNG to write.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    labels : sequence of str
        The N labels.
    bands : sequence of str
        One name a band.
    each : int
        Patches a class.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
    """
    classes = sorted(set(labels))
    step = _TILE + _GAP
    # One picture rather than an axis a patch, which takes seconds to lay out.
    sheet = np.full((len(classes) * step - _GAP, each * step - _GAP, 3), 255, np.uint8)
    for row, name in enumerate(classes):
        members = [i for i, label in enumerate(labels) if label == name][:each]
        for column, i in enumerate(members):
            shown = displayed(np.asarray(pixels[i]), bands)
            tile = np.asarray(Image.fromarray(shown).resize((_TILE, _TILE), Image.Resampling.NEAREST))
            sheet[row * step : row * step + _TILE, column * step : column * step + _TILE] = (
                tile if tile.ndim == 3 else tile[:, :, None]
            )
    figure = Figure(figsize=(0.95 * each + 2.6, 0.95 * len(classes) + 0.1), layout="constrained")
    axis = figure.subplots()
    axis.imshow(sheet)
    axis.set_xticks([])
    axis.set_yticks(
        [row * step + _TILE / 2 for row in range(len(classes))],
        [written(name, limit=24) for name in classes],
        fontsize=9,
        parse_math=False,
    )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary)
