"""Measure a model under the whole suite of shifts on one split, and write how it holds.

:func:`measure_robustness` measures and returns a :class:`RobustnessResult` without touching a file;
:func:`write_robustness` writes one into a folder; :func:`robustness` does both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.intervals import mean_difference, mean_share
from swath.evaluation.predictions import (
    Index,
    Model,
    open_inputs,
    predict_pixels,
    predict_split,
    prepare_output,
    sample_rows,
)
from swath.evaluation.results import FEW
from swath.evaluation.robustness.page import levels_picture, shifts_picture, write_robustness_page
from swath.evaluation.robustness.results import Condition, RobustnessResult, ShiftResult, condition
from swath.evaluation.robustness.shifts import LEVELS, usable
from swath.files import atomic_folder, write_csv
from swath.inference import Classifier
from swath.progress import Progress, silent

PATCHES = 1000


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
    mean = np.mean(right, axis=0)
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
        warnings=_warnings(len(found), split=split, same_index=found.same_index),
        inputs=found.inputs,
    )
    pictures = {
        "robustness.png": levels_picture(result),
        "shifts.png": shifts_picture(found.pixels[0], chosen, bands=bands, seed=seed),
    }
    return result.model_copy(update={"pictures": pictures})


def write_robustness(result: RobustnessResult, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a robustness result into a folder, all or nothing.

    ``index.html`` (the page), ``robustness.json`` (see :class:`RobustnessResult`), ``robustness.csv`` (one row per
    shift and severity), ``robustness.png`` (accuracy by severity) and ``shifts.png`` (a patch under every shift).

    Raises
    ------
    DataError
        If the result was read from JSON and holds no pictures.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    if not result.pictures:
        raise DataError(
            "the robustness result holds numbers only, no pictures", fix="measure again: robustness(MODEL, INDEX)"
        )
    with atomic_folder(Path(out), overwrite=overwrite, keep=result.inputs) as folder:
        (folder / "robustness.json").write_text(result.to_json(), encoding="utf-8")
        _write_table(folder / "robustness.csv", result)
        for name, picture in result.pictures.items():
            (folder / name).write_bytes(picture)
        write_robustness_page(folder / "index.html", result)


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


def _warnings(n: int, *, split: str, same_index: bool) -> tuple[str, ...]:
    found = []
    if n < FEW:
        found.append(f"only {n} patches (fewer than {FEW}): the intervals are wide")
    if same_index and split == "train":
        found.append("the model was trained on these patches: on new ones it holds less well")
    return tuple(found)


def _write_table(path: Path, result: RobustnessResult) -> None:
    numbers = ("accuracy", "low", "high", "calibration_error", "confidence", "unsure")
    rows = [("none", result.clean)]
    rows += [(name, c) for name, shift in result.shifts.items() for c in shift.severities]
    lines = []
    for name, c in rows:
        shares = (c.accuracy.value, c.accuracy.low, c.accuracy.high, c.calibration_error)
        values = (*shares, c.confidence, c.unsure.value)
        lines.append([name, c.severity, c.strength, result.n, *(f"{v:.6f}" for v in values)])
    write_csv(path, ["shift", "severity", "strength", "n", *numbers], lines)
