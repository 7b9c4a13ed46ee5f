"""Measure a model under the whole suite of shifts on one split: the result, its files, and its page.

:func:`measure_robustness` measures and returns a :class:`RobustnessResult` (the contents of ``robustness.json``)
without touching a file; :func:`write_robustness` writes one into a folder; :func:`robustness` does both.
:func:`robustness_section` is what a page shows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field, InstanceOf

from swath.config import Settings
from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.calibration import expected_calibration_error
from swath.evaluation.intervals import mean_difference, mean_share, proportion
from swath.evaluation.plots import patch_strip
from swath.evaluation.predictions import (
    Index,
    Model,
    open_inputs,
    predict_pixels,
    predict_split,
    prepare_output,
    sample_rows,
)
from swath.evaluation.results import FEW, Result, text_table
from swath.evaluation.robustness.shifts import LEVELS, Patches, Shift, usable
from swath.evaluation.seen import SeenCount, seen_lines, seen_numbers
from swath.files import atomic_folder, write_csv
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.charts import Chart, Line, Panel, panels_chart
from swath.pages.figures import tile
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.text import percent, points
from swath.progress import Progress, silent

UNSURE = 0.5  # confidence below which an answer is taken for a guess
PATCHES = 1000
_HARMLESS = 0.01  # a drop that is nothing to speak of, where its whole interval is smaller
_OVERCONFIDENT = 0.2  # confidence above accuracy
_TILE = 96
_DASH = "4 3"
_CLEAN, _MEAN = "without a shift", "mean over shifts and severities"


class Condition(Settings):
    """The model's answers under one shift at one level.

    Attributes
    ----------
    severity : int
        1 to 5; 0 is no shift.
    strength : str
        What the level stands for.
    accuracy : Estimate
        With its Wilson interval.
    calibration_error : float
        Expected calibration error of the answers' confidence, corrected for what chance adds.
    confidence : float
        Mean probability of the answer.
    unsure : Estimate
        Share of answers with a probability below 0.5.
    """

    severity: int
    strength: str
    accuracy: Estimate
    calibration_error: float
    confidence: float
    unsure: Estimate


class ShiftResult(Settings):
    """One shift at all its levels.

    Attributes
    ----------
    what : str
        What it stands for.
    severities : tuple of Condition
        Levels 1 to 5.
    drop : Estimate
        Accuracy without a shift minus the mean over the levels, on the same patches.
    """

    what: str
    severities: tuple[Condition, ...]
    drop: Estimate


class RobustnessResult(Result):
    """A model under all shifts.

    Attributes
    ----------
    model, split, engine, fingerprint : str
        What was tested, and on which patches.
    n : int
        Patches, the same under every shift.
    seen : SeenCount
        How many of them the model has seen.
    unseen : dict of str to Estimate
        Accuracy without a shift and the score on the patches that it has not seen, where it has seen some and enough
        others remain.
    seed : int
        Of patches and shifts.
    clean : Condition
        Without a shift.
    shifts : dict of str to ShiftResult
        In the order of the suite.
    score : Estimate
        Mean corruption score: the mean accuracy over all shifts and levels (one minus the mean corruption
        error of Hendrycks and Dietterich 2019, arXiv:1903.12261, not divided by another model's); its interval is
        over patches, with a width even where all are right.
    drop : Estimate
        Accuracy without a shift minus the score.
    skipped : dict of str to str
        Shifts that the model cannot be put through, and why.
    warnings : tuple of str
        Reasons to trust the numbers less.
    strips : tuple of Image
        A patch under every shift; not in the JSON, so empty where it was read from there.
    inputs : tuple of pathlib.Path
        What an output must not replace; not in the JSON.
    """

    model: str
    split: str
    engine: str
    fingerprint: str
    n: int
    seen: SeenCount
    unseen: dict[str, Estimate] = Field(default={})
    seed: int
    clean: Condition
    shifts: dict[str, ShiftResult]
    score: Estimate
    drop: Estimate
    skipped: dict[str, str]
    warnings: tuple[str, ...]
    strips: tuple[InstanceOf[Image], ...] = Field(default=(), exclude=True, repr=False)
    inputs: tuple[Path, ...] = Field(default=(), exclude=True, repr=False)

    @property
    def ordered(self) -> list[tuple[str, ShiftResult]]:
        """Shifts by the accuracy they cost, most first."""
        return sorted(self.shifts.items(), key=lambda item: -item[1].drop.value)

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        mark = self.seen.mark
        whole: list[tuple[Cell, ...]] = [(_CLEAN + mark, self.clean.accuracy), (_MEAN + mark, self.score)]
        shifts = [
            (shown(name), *(f"{100 * e.value:.1f}" for e in (shift.drop, *(c.accuracy for c in shift.severities))))
            for name, shift in self.ordered
        ]
        severities = (f"severity {c.severity}" for c in next(iter(self.shifts.values())).severities)
        return [
            *seen_lines(self.seen, self.unseen),
            f"model {self.model}, split {self.split}: {self.n:,} patches, {len(self.shifts)} shifts at 5 severities",
            *(f"  {line}" for line in text_table(Table(("accuracy", ""), whole))),
            f"  drop: {points(self.drop)}",
            "",
            *text_table(Table(("shift", "drop", *severities), shifts)),
            *(f"left out: {shown(name)}, {why}" for name, why in self.skipped.items()),
            *(f"warning: {warning}" for warning in self.warnings),
        ]


def shown(name: str) -> str:
    """A shift's name as people write it."""
    return name.replace("_", " ")


def condition(
    right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.floating], *, severity: int, strength: str
) -> Condition:
    """Measure answers: whether they are right ``[N]``, and their probabilities ``[N]``."""
    n = len(right)
    return Condition(
        severity=severity,
        strength=strength,
        accuracy=proportion(int(right.sum()), n),
        calibration_error=expected_calibration_error(right, confidence).ece.value,
        confidence=float(confidence.mean(dtype=np.float64)),
        unsure=proportion(int((confidence < UNSURE).sum()), n),
    )


def robustness(
    model: Model,
    index: Index,
    *,
    split: str = "val",
    patches: int = PATCHES,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> RobustnessResult:
    """Measure a model under shifts of sensor, atmosphere and weather.

    The same index, seed and number of patches give the same pixels to every model. With `out`, the files of
    :func:`write_robustness` are written, all or nothing; an access to ``test`` then adds a line to
    ``test_accesses.jsonl`` in the folder that holds `out`, as :func:`swath.evaluation.evaluate` does.

    Parameters
    ----------
    model : Classifier, str or pathlib.Path
        A single-label or binary model for 8-bit patches: loaded, a model file, or the name of a shipped model.
    index : PatchIndex, str or pathlib.Path
        Labeled patches with splits, or the file of such an index.
    split : str
        ``"val"`` by default, so that what is learned here may be acted on.
    patches : int
        How many to draw at random; 0 takes all.
    seed : int
        Seed of patches and shifts.
    out : str or pathlib.Path, optional
        The folder to make. Nothing is written without it.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every shift and severity.

    Raises
    ------
    SettingError
        If the model is multi-label or takes other than 8-bit patches, or `patches` is negative.
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.

    Examples
    --------
    >>> from swath.data import build_index
    >>> from swath.evaluation.robustness import robustness
    >>> found = robustness("eurosat", build_index("eurosat-mini"), patches=10)
    >>> found.n, len(found.shifts)
    (10, 13)
    """
    classifier, index = open_inputs(model, index)
    _check(classifier, patches)
    if out is not None:
        prepare_output(classifier, index, split=split, out=Path(out), overwrite=overwrite, limit=patches)
    result = measure_robustness(classifier, index, split=split, patches=patches, seed=seed, progress=progress)
    if out is not None:
        write_robustness(result, out, overwrite=overwrite)
    return result


def measure_robustness(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str = "val",
    patches: int = PATCHES,
    seed: int = 0,
    progress: Progress = silent,
) -> RobustnessResult:
    """Measure under shifts; nothing is written, and an access to ``test`` is not noted.

    Raises
    ------
    SettingError, DataError
        As :func:`robustness`.
    """
    _check(classifier, patches)
    n = index.split_counts.get(split, 0)
    rows = sample_rows(n, patches or n, seed=seed)
    found = predict_split(classifier, index, split=split, rows=rows, progress=progress)
    bands = found.record.input.bands
    chosen, skipped = usable(bands, found.pixels.shape[-1])
    steps = len(chosen) * len(LEVELS)
    clean = condition(found.right, found.confidence, severity=0, strength="none")
    right: list[npt.NDArray[np.bool_]] = []
    shifts = {}
    for shift in chosen:
        conditions: list[Condition] = []
        for severity in LEVELS:
            progress("robustness", len(right), steps, note=shift.name)
            predictions = predict_pixels(classifier, shift.at(found.pixels, severity, seed=seed))
            shifted = replace(found, predictions=predictions)
            right.append(shifted.right)
            conditions.append(
                condition(shifted.right, shifted.confidence, severity=severity, strength=shift.describe(severity))
            )
        drop = mean_difference(found.right - np.mean(right[-len(LEVELS) :], axis=0))
        shifts[shift.name] = ShiftResult(what=shift.what, severities=tuple(conditions), drop=drop)
    progress("robustness", steps, steps)
    mean, rest = np.mean(right, axis=0), found.seen.remainder
    result = RobustnessResult(
        model=found.record.name,
        split=split,
        engine=found.engine,
        fingerprint=found.fingerprint,
        n=len(found),
        seed=seed,
        clean=clean,
        shifts=shifts,
        score=mean_share(mean),
        drop=mean_difference(found.right - mean),
        skipped=skipped,
        seen=found.seen.count,
        unseen={}
        if rest is None
        else {_CLEAN: proportion(int(found.right[rest].sum()), int(rest.sum())), _MEAN: mean_share(mean[rest])},
        warnings=_warnings(len(found), found.seen.count),
        inputs=found.inputs,
    )
    strips = shift_strips(found.pixels[0], chosen, bands=bands, seed=seed)
    return result.model_copy(update={"strips": strips})


def write_robustness(result: RobustnessResult, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a robustness result into a folder, all or nothing.

    ``index.html`` (the page), ``robustness.json`` (see :class:`RobustnessResult`), ``robustness.csv`` (one row per
    shift and severity) and ``robustness.svg`` (accuracy by severity).

    Raises
    ------
    DataError
        If the result was read from JSON and holds no pictures.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    if not result.strips:
        raise DataError(
            "the robustness result holds numbers only, no pictures", fix="measure again: robustness(MODEL, INDEX)"
        )
    with atomic_folder(Path(out), overwrite=overwrite, keep=result.inputs) as folder:
        (folder / "robustness.json").write_text(result.to_json(), encoding="utf-8")
        _write_table(folder / "robustness.csv", result)
        (folder / "robustness.svg").write_bytes(levels_chart(result).to_svg())
        write_report(
            folder / "index.html",
            [robustness_section(result, folder)],
            title=f"How '{result.model}' holds under other conditions",
            summary="A fixed, seeded suite of changes between sensors, atmospheres, seasons and archives, with the "
            "same pixels for every model.",
        )


def _check(classifier: Classifier, patches: int) -> None:
    record = classifier.record
    if record.task == "multi-label":
        raise SettingError(
            "the model is multi-label, and the robustness suite counts one class per patch",
            fix="use a single-label or binary model",
        )
    if record.input.data_type != "uint8":
        raise SettingError(
            f"the model takes {record.input.data_type} patches, and the shifts are defined on 8-bit ones",
            fix="use a model of 8-bit patches",
        )
    if patches < 0:
        raise SettingError(f"--patches {patches}", fix="give 1 or more, or 0 for all")


def _warnings(n: int, seen: SeenCount) -> tuple[str, ...]:
    found = []
    if n < FEW:
        found.append(f"only {n} patches (fewer than {FEW}): the intervals are wide")
    if seen.seen:
        found.append("on patches that the model has seen it holds better than on new ones")
    return tuple(found)


def _write_table(path: Path, result: RobustnessResult) -> None:
    numbers = ("accuracy", "low", "high", "calibration_error", "confidence", "unsure")
    rows = [("none", result.clean)]
    rows += [(name, c) for name, shift in result.shifts.items() for c in shift.severities]
    lines = []
    for name, c in rows:
        accuracy = (c.accuracy.value, c.accuracy.low, c.accuracy.high)
        values = (*accuracy, c.calibration_error, c.confidence, c.unsure.value)
        lines.append([name, c.severity, c.strength, result.n, *(f"{v:.6f}" for v in values)])
    write_csv(path, ["shift", "severity", "strength", "n", *numbers], lines)


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
        text=[*sentences(result), *left, "Last, one patch at severities 0 to 5."],
        numbers=(
            *seen_numbers(result.unseen),
            Number(f"accuracy {_CLEAN}{result.seen.mark}", result.clean.accuracy, f"n = {result.n:,}"),
            Number(f"{_MEAN}{result.seen.mark}", result.score, "mean corruption score"),
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
        images=[levels_chart(result)],
        strips=result.strips,
        links=[Link(name, folder / name) for name in ("robustness.csv", "robustness.json")],
    )


def sentences(result: RobustnessResult) -> list[str]:
    """What the numbers say, in plain words."""
    said = [
        result.seen.sentences,
        f"{result.n:,} patches of the split '{result.split}', {len(result.shifts)} shifts at five severities: "
        f"accuracy {'falls' if result.drop.value > 0 else 'goes'} from {percent(result.clean.accuracy)[0]} to "
        f"{percent(result.score)[0]} on average, by {abs(100 * result.drop.value):.1f} points.",
    ]
    hard = [(n, r) for n, r in result.ordered if r.drop.low > _HARMLESS]
    mild = [shown(n) for n, r in result.ordered if max(-r.drop.low, r.drop.high) < _HARMLESS]
    if hard:
        costly = ", ".join(f"{shown(n)} ({100 * r.drop.value:.1f} points)" for n, r in hard[:3])
        said.append(f"Most costly: {costly}.")
    if mild:
        said.append(f"Next to nothing (under 1 point): {', '.join(mild)}.")
    worst = [(shown(name), shift.severities[-1]) for name, shift in result.ordered]
    blind = [name for name, last in worst if last.confidence - last.accuracy.value > _OVERCONFIDENT]
    if blind:
        said.append(
            f"Under {', '.join(blind)} the model is overconfident (at severity 5 its confidence is more than 20 points "
            "above its accuracy)."
        )
    return said


def _short(estimate: Estimate) -> str:
    """An estimate in few letters, for a table of many."""
    value, low, high = (100 * v for v in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} ({low:.0f}\u2013{high:.0f})"


def levels_chart(result: RobustnessResult) -> Chart:
    """Draw a small panel per shift, worst first: accuracy with its interval, and confidence, by severity.

    Where confidence stays up while accuracy falls, the model is overconfident.
    """
    ticks = [(0.0, "0"), (0.5, "50"), (1.0, "100")]

    def panel(name: str, shift: ShiftResult) -> Panel:
        conditions = [result.clean, *shift.severities]
        severities = [c.severity for c in conditions]
        accuracy = Line(
            severities,
            [c.accuracy.value for c in conditions],
            low=[c.accuracy.low for c in conditions],
            high=[c.accuracy.high for c in conditions],
        )
        confidence = Line(severities, [c.confidence for c in conditions], color="warm", dash=_DASH)
        marks = [(n, str(n)) for n in severities]
        return Panel([accuracy, confidence], x=(0, 5), title=shown(name), x_ticks=marks, y_ticks=ticks)

    return panels_chart(
        "Accuracy and confidence by severity, a small chart per shift",
        [panel(name, shift) for name, shift in result.ordered],
        columns=4,
        narrow_columns=2,
        tall=110,
        key=[Line([], [], "accuracy, %, with 95 % interval"), Line([], [], "mean confidence, %", "warm", _DASH)],
        caption="By severity, 0 to 5, most costly shift first. Where the dashed line stays above, the model is "
        "overconfident.",
    )


def shift_strips(patch: Patches, shifts: Sequence[Shift], *, bands: Sequence[str], seed: int) -> tuple[Image, ...]:
    """Show one patch ``[bands, P, P]`` under every shift: a strip per shift, from severity 0 to 5."""
    return tuple(
        patch_strip(
            [tile(shift.at(patch[None], severity, seed=seed)[0], bands, side=_TILE) for severity in (0, *LEVELS)],
            f"A patch under {shown(shift.name)}, severity 0 to 5",
            shown(shift.name),
        )
        for shift in shifts
    )
