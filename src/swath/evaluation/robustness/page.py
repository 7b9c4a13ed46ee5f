"""The page of a robustness test, its two pictures, and the section that a report of a run takes from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from swath.evaluation.robustness.results import RobustnessResult, ShiftResult, shown
from swath.evaluation.robustness.shifts import LEVELS, Patches, Shift
from swath.model.record import Estimate
from swath.pages.figures import ACCENT, INK, SOFT, WARM, finish_axis, tile, tile_sheet, to_png
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.text import percent, points

_HARMLESS = 0.01  # a drop that is nothing to speak of, where its whole interval is smaller
_ACROSS = 5  # small pictures in a row
_TILE, _GAP = 96, 4
_PICTURES = {
    "robustness.png": (
        "Accuracy and confidence by severity, a small picture per shift",
        "Accuracy (line, 95 % interval) and mean confidence (dashed) by severity. Where the dashed line stays above, "
        "the model is overconfident.",
    ),
    "shifts.png": ("A patch under every shift", "One patch at severities 0 to 5."),
}


def robustness_section(result: RobustnessResult, folder: Path) -> Section:
    """Show how a model holds under shifts, with links to the files of :func:`write_robustness` in `folder`."""
    rows: list[tuple[Cell, ...]] = [
        (shown(name), r.what, points(r.drop), *(_short(c.accuracy) for c in r.severities)) for name, r in result.ordered
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
            Number("mean over shifts and severities", result.score, "mean corruption score"),
        ),
        warnings=result.warnings,
        tables=(
            Table(
                ("shift", "what it stands for", "drop in accuracy", *(f"severity {n}" for n in LEVELS)),
                rows,
                "Accuracy in percent by shift and severity, with 95 % intervals, most costly first",
            ),
            Table(
                ("shift", "severity 5 is", "accuracy", "confidence", "calibration error", "unsure"),
                worst,
                "At severity 5: does confidence fall with accuracy? Unsure: share of predictions below 50 %",
            ),
        ),
        images=[Image(result.pictures[name], *words) for name, words in _PICTURES.items() if name in result.pictures],
        links=[Link(name, folder / name) for name in ("robustness.csv", "robustness.json")],
    )


def sentences(result: RobustnessResult) -> list[str]:
    """What the numbers say, in plain words."""
    said = [
        f"{result.n:,} patches of the split '{result.split}', {len(result.shifts)} shifts at five severities: "
        f"accuracy {'falls' if result.drop.value > 0 else 'goes'} from {percent(result.clean.accuracy)[0]} to "
        f"{percent(result.score)[0]} on average, by {abs(100 * result.drop.value):.1f} points."
    ]
    hard = [(n, r) for n, r in result.ordered if r.drop.low > _HARMLESS]
    mild = [shown(n) for n, r in result.ordered if max(-r.drop.low, r.drop.high) < _HARMLESS]
    if hard:
        costly = ", ".join(f"{shown(n)} ({100 * r.drop.value:.1f} points)" for n, r in hard[:3])
        said.append(f"Most costly: {costly}.")
    if mild:
        said.append(f"Next to nothing (under 1 point): {', '.join(mild)}.")
    blind = [shown(n) for n, r in result.ordered if _overconfident(r)]
    if blind:
        said.append(
            f"Under {', '.join(blind)} the model is overconfident (at severity 5 its confidence is more than 20 points "
            "above its accuracy)."
        )
    return said


def write_robustness_page(path: Path, result: RobustnessResult) -> None:
    """Write ``index.html`` next to the other files of the test."""
    section = robustness_section(result, path.parent)
    write_report(
        path,
        [section],
        title=f"How {result.model} holds under other conditions",
        summary="A fixed, seeded suite of changes between sensors, atmospheres, seasons and archives, with the same "
        "pixels for every model.",
    )


def _short(estimate: Estimate) -> str:
    """An estimate in few letters, for a table of many."""
    value, low, high = (100 * v for v in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} ({low:.0f}\u2013{high:.0f})"


def _overconfident(result: ShiftResult) -> bool:
    last = result.severities[-1]
    return last.confidence - last.accuracy.value > 0.2


def levels_picture(result: RobustnessResult) -> bytes:
    """Draw a small picture per shift, worst first: accuracy with its interval, and confidence, by severity.

    Where confidence stays up while accuracy falls, the model is overconfident.

    Returns
    -------
    bytes
        A PNG.
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
            color=ACCENT,
            alpha=0.2,
            linewidth=0,
        )
        axis.plot(severities, [c.confidence for c in conditions], color=WARM, linestyle=(0, (3, 2)))
        axis.plot(severities, [c.accuracy.value for c in conditions], "o-", color=ACCENT, markersize=3.5)
        axis.set_title(shown(name), fontsize=9, color=INK)
        axis.set_ylim(0, 1.02)
        axis.set_xticks((0, *LEVELS))
        finish_axis(axis, tick_size=7.5)
    for axis in axes[len(shifts) :]:
        axis.set_visible(False)
    figure.supxlabel(
        "severity; line and band: accuracy with 95 % interval; dashed: mean confidence", fontsize=8, color=SOFT
    )
    return to_png(figure, dpi=130)


def shifts_picture(patch: Patches, shifts: Sequence[Shift], *, bands: Sequence[str], seed: int) -> bytes:
    """Draw one patch ``[bands, P, P]`` under every shift as a PNG: a row per shift, from severity 0 to 5."""
    step = _TILE + _GAP
    columns = (0, *LEVELS)
    sheet = tile_sheet(
        {
            (row, column): tile(shift.at(patch[None], severity, seed=seed)[0], bands, side=_TILE)
            for row, shift in enumerate(shifts)
            for column, severity in enumerate(columns)
        },
        gap=_GAP,
    )
    figure = Figure(figsize=(0.95 * len(columns) + 1.2, 0.95 * len(shifts) + 0.3), layout="constrained")
    axis = figure.subplots()
    axis.imshow(sheet)
    middle = _TILE / 2
    axis.set_xticks([n * step + middle for n in range(len(columns))], [str(severity) for severity in columns])
    axis.set_yticks([n * step + middle for n in range(len(shifts))], [shown(s.name) for s in shifts])
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)
    return to_png(figure)
