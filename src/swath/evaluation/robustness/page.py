"""The page of a robustness test, and the section that a run's report takes from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from swath.evaluation.robustness.results import RobustnessResult, ShiftResult, shown
from swath.evaluation.robustness.shifts import LEVELS, Patches, Shift
from swath.model.record import Estimate
from swath.pages.figures import save, to_display_rgb
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.wording import percent, points

_HARMLESS = 0.01  # a drop that is nothing to speak of, where its whole interval is smaller
_INK, _ACCENT, _SOFT, _WARM = "#1d2a33", "#1f6f8b", "#8a98a1", "#c8553d"
_ACROSS = 5  # small pictures in a row
_TILE, _GAP = 96, 4


def robustness_section(result: RobustnessResult, folder: Path) -> Section:
    """Show how a model holds under shifts, from the folder that :func:`robustness` wrote.

    Parameters
    ----------
    result : StressResult
        What was found.
    folder : Path
        Holds ``robustness.png``, ``shifts.png``, ``robustness.csv`` and ``robustness.json``.
    """
    rows: list[tuple[Cell, ...]] = [
        (shown(name), r.what, points(r.drop), *(_short(c.accuracy) for c in r.severities))
        for name, r in result.ordered
    ]
    worst: list[tuple[Cell, ...]] = [
        (
            shown(name),
            r.severities[-1].strength,
            r.severities[-1].accuracy,
            f"{100 * r.severities[-1].confidence:.1f} %",
            f"{r.severities[-1].calibration_error:.3f}",
            r.severities[-1].unsure,
        )
        for name, r in result.ordered
    ]
    left = [f"Left out: {shown(name)}, {why}." for name, why in result.skipped.items()]
    return Section(
        "Under other conditions",
        text=[*sentences(result), *left],
        numbers=(
            Number("accuracy without a shift", result.clean.accuracy, f"n = {result.n:,}"),
            Number("mean over shifts and levels", result.score, "mean corruption score"),
        ),
        warnings=result.warnings,
        tables=(
            Table(
                ("shift", "what it stands for", "drop in accuracy", *(f"level {n}" for n in range(1, 6))),
                rows,
                "Accuracy in percent by shift and level, with 95 % intervals, most costly first",
            ),
            Table(
                ("shift", "level 5 is", "accuracy", "confidence", "calibration error", "unsure"),
                worst,
                "At level 5: does the model know? Unsure: share of answers below 50 %",
            ),
        ),
        images=(
            Image(
                folder / "stress.png",
                "Accuracy and confidence by level, a small picture a shift",
                "Accuracy (line, 95 % interval) and mean confidence (dashed). A gap between them: the "
                "model errs without knowing.",
            ),
            Image(folder / "shifts.png", "A patch under every shift", "One patch at levels 0 to 5."),
        ),
        links=[Link(name, folder / name) for name in ("stress.csv", "stress.json")],
    )


def sentences(result: RobustnessResult) -> list[str]:
    """What the numbers say, in plain words."""
    told = [
        f"{result.n:,} patches of the split '{result.split}' under {len(result.shifts)} shifts at five levels each: "
        f"accuracy {'falls' if result.drop.value > 0 else 'goes'} from {percent(result.clean.accuracy)[0]} to "
        f"{percent(result.score)[0]} on average, by {abs(100 * result.drop.value):.1f} points."
    ]
    hard = [(n, r) for n, r in result.ordered if r.drop.low > _HARMLESS]
    mild = [shown(n) for n, r in result.ordered if max(-r.drop.low, r.drop.high) < _HARMLESS]
    if hard:
        costly = ", ".join(f"{shown(n)} ({100 * r.drop.value:.1f} points)" for n, r in hard[:3])
        told.append(f"Most costly: {costly}.")
    if mild:
        told.append(f"Next to nothing (under 1 point): {', '.join(mild)}.")
    blind = [shown(n) for n, r in result.ordered if _overconfident(r)]
    if blind:
        told.append(
            f"Under {', '.join(blind)} the model stays sure of itself while it errs (at level 5 its confidence is "
            "more than 20 points above its accuracy)."
        )
    return told


def write_robustness_page(path: Path, result: RobustnessResult) -> None:
    """Write ``index.html`` beside the files of the test."""
    section = robustness_section(result, path.parent)
    write_report(
        path,
        [section],
        title=f"How {result.model} holds under other conditions",
        summary="A fixed, seeded suite of changes between sensors, atmospheres, seasons and archives: every model is "
        "shown the same pictures.",
    )


def _short(estimate: Estimate) -> str:
    """An estimate that leaves room for others beside it."""
    value, low, high = (100 * v for v in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} ({low:.0f}\u2013{high:.0f})"


def _overconfident(result: ShiftResult) -> bool:
    last = result.severities[-1]
    return last.confidence - last.accuracy.value > 0.2


def levels_picture(path: Path, result: RobustnessResult) -> None:
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
        conditions = [result.clean, *shift.severities]
        severities = [c.severity for c in conditions]
        axis.fill_between(
            severities,
            [c.accuracy.low for c in conditions],
            [c.accuracy.high for c in conditions],
            color=_ACCENT,
            alpha=0.2,
            linewidth=0,
        )
        axis.plot(severities, [c.confidence for c in conditions], color=_WARM, linestyle=(0, (3, 2)))
        axis.plot(severities, [c.accuracy.value for c in conditions], "o-", color=_ACCENT, markersize=3.5)
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
        for column, severity in enumerate(columns):
            pixels = to_display_rgb(shift.at(patch[None], severity, seed=seed)[0], bands)
            tile = PIL.Image.fromarray(pixels).resize((_TILE, _TILE), PIL.Image.Resampling.NEAREST)
            place = np.s_[row * step : row * step + _TILE, column * step : column * step + _TILE]
            sheet[place] = np.asarray(tile)
    figure = Figure(figsize=(0.95 * len(columns) + 1.2, 0.95 * len(shifts) + 0.3), layout="constrained")
    axis = figure.subplots()
    axis.imshow(sheet)
    middle = _TILE / 2
    axis.set_xticks([n * step + middle for n in range(len(columns))], [str(severity) for severity in columns])
    axis.set_yticks([n * step + middle for n in range(len(shifts))], [shown(s.name) for s in shifts])
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)
    save(figure, path)
