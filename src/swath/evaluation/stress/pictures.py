"""Pictures of a stress test: accuracy by level, and a patch under every shift."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from swath.evaluation.stress.results import StressResult, shown
from swath.evaluation.stress.shifts import Patches
from swath.evaluation.stress.suite import LEVELS, Shift
from swath.explain.figures import displayed, save

_INK, _ACCENT, _SOFT, _WARM = "#1d2a33", "#1f6f8b", "#8a98a1", "#c8553d"
_ACROSS = 5  # small pictures in a row
_TILE, _GAP = 96, 4


def levels_picture(path: Path, result: StressResult) -> None:
    """Draw a small picture a shift, worst first: accuracy with its interval, and confidence, by level.

    Where confidence stays up while accuracy falls, the model errs without knowing.

    Parameters
    ----------
    path : Path
        The PNG to write.
    result : StressResult
        What was found.
    """
    shifts = result.ordered
    rows = -(-len(shifts) // _ACROSS)
    figure = Figure(figsize=(2.3 * _ACROSS, 2.1 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, _ACROSS, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (name, shift) in zip(axes, shifts, strict=False):
        conditions = [result.clean, *shift.levels]
        levels = [c.level for c in conditions]
        axis.fill_between(
            levels,
            [c.accuracy.low for c in conditions],
            [c.accuracy.high for c in conditions],
            color=_ACCENT,
            alpha=0.2,
            linewidth=0,
        )
        axis.plot(levels, [c.confidence for c in conditions], color=_WARM, linestyle=(0, (3, 2)))
        axis.plot(levels, [c.accuracy.value for c in conditions], "o-", color=_ACCENT, markersize=3.5)
        axis.set_title(shown(name), fontsize=9, color=_INK)
        axis.set_ylim(0, 1.02)
        axis.set_xticks((0, *LEVELS))
        axis.tick_params(length=0, labelsize=7.5)
        axis.grid(color="#e3e8eb")
        axis.spines[:].set_visible(False)
    for axis in axes[len(shifts) :]:
        axis.set_visible(False)
    figure.supxlabel(
        "level; line and band: accuracy with 95 % interval; dashed: mean confidence", fontsize=8, color=_SOFT
    )
    save(figure, path, dpi=130)


def shifts_picture(
    path: Path, patch: Patches, shifts: Sequence[Shift], *, bands: Sequence[str], seed: int
) -> None:
    """Draw one patch ``[bands, P, P]`` under every shift, a row each, from level 0 to level 5."""
    step = _TILE + _GAP
    columns = (0, *LEVELS)
    sheet = np.full((len(shifts) * step - _GAP, len(columns) * step - _GAP, 3), 255, np.uint8)
    for row, shift in enumerate(shifts):
        for column, level in enumerate(columns):
            pixels = displayed(shift.at(patch[None], level, seed=seed)[0], bands)
            tile = Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.NEAREST)
            place = np.s_[row * step : row * step + _TILE, column * step : column * step + _TILE]
            sheet[place] = np.asarray(tile)
    figure = Figure(figsize=(0.95 * len(columns) + 1.2, 0.95 * len(shifts) + 0.3), layout="constrained")
    axis = figure.subplots()
    axis.imshow(sheet)
    middle = _TILE / 2
    axis.set_xticks([n * step + middle for n in range(len(columns))], [str(level) for level in columns])
    axis.set_yticks([n * step + middle for n in range(len(shifts))], [shown(s.name) for s in shifts])
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)
    save(figure, path)
