"""Put a model through the suite on one split, and write down how it holds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, class_numbers
from swath.errors import SettingError
from swath.evaluation.evaluate import (
    TEST_ACCESSES,
    checked_split,
    model_outputs,
    model_pixels,
    note_test_access,
)
from swath.evaluation.intervals import mean_difference, mean_share
from swath.evaluation.results import FEW
from swath.evaluation.robustness.page import levels_picture, shifts_picture, write_robustness_page
from swath.evaluation.robustness.results import Condition, RobustnessResult, ShiftResult, condition
from swath.evaluation.robustness.shifts import LEVELS, Shift, usable
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.progress import Progress, silent

PATCHES = 1000


def robustness(
    classifier: Classifier,
    index: PatchIndex,
    *,
    out: str | Path,
    split: str = "val",
    patches: int = PATCHES,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> RobustnessResult:
    """Test `classifier` under shifts of sensor, atmosphere and weather.

    Writes into the folder `out`, all or nothing: ``index.html`` (the page), ``robustness.json`` (see
    :class:`RobustnessResult`), ``robustness.csv`` (one row a shift and level), ``robustness.png`` (accuracy by
    level) and ``shifts.png`` (a patch under every shift). The same index, seed and number of patches give the same
    pictures to every model. Opening ``test`` adds a line to ``test_accesses.jsonl`` in the folder that
    holds `out`, as :func:`swath.evaluation.evaluate` does.

    Parameters
    ----------
    classifier : Classifier
        A loaded single-label or binary model for 8-bit patches.
    index : PatchIndex
        Labeled patches with splits.
    out : Path
        The folder to make.
    split : str
        ``"val"`` by default, so that what is learned here may be acted on.
    patches : int
        How many to draw at random; 0 takes all.
    seed : int
        Seed of patches and shifts.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every condition.

    Raises
    ------
    SettingError
        If the model is multi-label or takes other than 8-bit patches, or `patches` is negative.
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    record = classifier.record
    _check(classifier, patches)
    names = record.class_names
    part = checked_split(index, split=split, classes=names, task=record.task)
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        labels = part.targets(names, multi_label=False)
        rows = drawn(len(labels), patches or len(labels), seed=seed)
        if split == "test":
            note_test_access(
                out.parent / TEST_ACCESSES, model=record.name, fingerprint=index.fingerprint, n=len(rows)
            )
        pixels = np.ascontiguousarray(model_pixels(classifier, part, progress=progress)[rows])
        chosen, skipped = usable(record.input.bands, pixels.shape[-1])
        tests = [(shift, severity) for shift in chosen for severity in LEVELS]
        right = np.empty((len(tests) + 1, len(rows)), bool)
        progress("robustness", 0, len(tests) + 1)
        right[0], clean = _answer(classifier, pixels, labels[rows], severity=0, strength="none")
        conditions: dict[str, list[Condition]] = {shift.name: [] for shift in chosen}
        for number, (shift, severity) in enumerate(tests, start=1):
            progress("robustness", number, len(tests) + 1, note=shift.name)
            right[number], found = _answer(
                classifier,
                shift.at(pixels, severity, seed=seed),
                labels[rows],
                severity=severity,
                strength=shift.describe(severity),
            )
            conditions[shift.name].append(found)
        progress("robustness", len(tests) + 1, len(tests) + 1)
        result = RobustnessResult(
            model=record.name,
            split=split,
            engine=classifier.engine,
            fingerprint=index.fingerprint,
            n=len(rows),
            seed=seed,
            clean=clean,
            shifts=_results(chosen, conditions, right),
            score=mean_share(right[1:].mean(axis=0)),
            drop=mean_difference(right[0] - right[1:].mean(axis=0)),
            skipped=skipped,
            warnings=_warnings(
                len(rows), split=split, same_index=index.fingerprint == record.data.fingerprint
            ),
        )
        (folder / "stress.json").write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _write_table(folder / "stress.csv", result)
        levels_picture(folder / "stress.png", result)
        shifts_picture(folder / "shifts.png", pixels[0], chosen, bands=record.input.bands, seed=seed)
        write_robustness_page(folder / "index.html", result)
    return result


def drawn(n: int, most: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Sorted rows of up to `most` of `n` patches, drawn at random so that they stand for all of them.

    Asking for more adds to the rows that fewer would give.
    """
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _check(classifier: Classifier, patches: int) -> None:
    record = classifier.record
    if record.task == "multi-label":
        raise SettingError(
            "the model is multi-label, and the robustness suite counts one class a patch",
            fix="use a single-label or binary model",
        )
    if record.input.data_type != "uint8":
        raise SettingError(
            f"the model takes {record.input.data_type} patches, and the shifts are defined on 8-bit ones",
            fix="use a model of 8-bit patches",
        )
    if patches < 0:
        raise SettingError(f"--patches {patches}", fix="give 1 or more, or 0 for all")


def _answer(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    truth: npt.NDArray[np.int64],
    *,
    severity: int,
    strength: str,
) -> tuple[npt.NDArray[np.bool_], Condition]:
    """Which answers are right, and what they are worth."""
    names = classifier.record.class_names
    judged = classifier.decide(model_outputs(classifier, pixels)["probabilities"])
    right = class_numbers(judged.labels, names) == truth
    return right, condition(right, judged.confidence, severity=severity, strength=strength)


def _results(
    chosen: tuple[Shift, ...], conditions: dict[str, list[Condition]], right: npt.NDArray[np.bool_]
) -> dict[str, ShiftResult]:
    found = {}
    for place, shift in enumerate(chosen):
        own = right[1 + place * len(LEVELS) : 1 + (place + 1) * len(LEVELS)]
        found[shift.name] = ShiftResult(
            what=shift.what,
            severities=tuple(conditions[shift.name]),
            drop=mean_difference(right[0] - own.mean(axis=0)),
        )
    return found


def _warnings(n: int, *, split: str, same_index: bool) -> tuple[str, ...]:
    found = []
    if n < FEW:
        found.append(f"only {n} patches (fewer than {FEW}): the intervals are wide")
    if same_index and split == "train":
        found.append("the model was trained on these patches: on new ones it holds less well")
    return tuple(found)


def _write_table(path: Path, result: RobustnessResult) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        numbers = ("accuracy", "low", "high", "calibration_error", "confidence", "unsure")
        writer.writerow(["shift", "level", "strength", "n", *numbers])
        rows = [("none", result.clean)]
        rows += [(name, c) for name, shift in result.shifts.items() for c in shift.severities]
        for name, c in rows:
            shares = (c.accuracy.value, c.accuracy.low, c.accuracy.high, c.calibration_error)
            values = (*shares, c.confidence, c.unsure.value)
            writer.writerow([name, c.severity, c.strength, result.n, *(f"{v:.6f}" for v in values)])
