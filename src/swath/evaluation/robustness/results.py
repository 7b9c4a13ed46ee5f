"""What a robustness test found: the contents of ``robustness.json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from swath.config import Settings
from swath.evaluation.calibration import calibration_error
from swath.evaluation.intervals import proportion
from swath.evaluation.results import Result, text_table
from swath.model.record import Estimate
from swath.pages.html import Cell, Table
from swath.pages.text import points

UNSURE = 0.5  # confidence below which an answer is taken for a guess


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
        Expected calibration error of the answers' confidence, 15 bins of equal width.
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
        Accuracy without a shift minus the mean over the levels, on the same patches, bootstrapped.
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
    seed : int
        Of patches and shifts.
    clean : Condition
        Without a shift.
    shifts : dict of str to ShiftResult
        In the order of the suite.
    score : Estimate
        Mean corruption score: the mean accuracy over all shifts and levels (one minus the mean corruption
        error of Hendrycks and Dietterich 2019, arXiv:1903.12261, not divided by another model's), bootstrapped
        over patches, with a width even where all are right.
    drop : Estimate
        Accuracy without a shift minus the score.
    skipped : dict of str to str
        Shifts that the model cannot be put through, and why.
    warnings : tuple of str
        Reasons to trust the numbers less.
    pictures : dict of str to bytes
        PNG files by name; not in the JSON, so empty where it was read from there.
    inputs : tuple of pathlib.Path
        What an output must not replace; not in the JSON.
    """

    model: str
    split: str
    engine: str
    fingerprint: str
    n: int
    seed: int
    clean: Condition
    shifts: dict[str, ShiftResult]
    score: Estimate
    drop: Estimate
    skipped: dict[str, str]
    warnings: tuple[str, ...]
    pictures: dict[str, bytes] = Field(default={}, exclude=True, repr=False)
    inputs: tuple[Path, ...] = Field(default=(), exclude=True, repr=False)

    @property
    def ordered(self) -> list[tuple[str, ShiftResult]]:
        """Shifts by the accuracy they cost, most first."""
        return sorted(self.shifts.items(), key=lambda item: -item[1].drop.value)

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        whole: list[tuple[Cell, ...]] = [
            ("without a shift", self.clean.accuracy),
            ("mean over shifts and severities", self.score),
        ]
        shifts: list[tuple[Cell, ...]] = [
            (
                shown(name),
                f"{100 * result.drop.value:.1f}",
                *(f"{100 * c.accuracy.value:.1f}" for c in result.severities),
            )
            for name, result in self.ordered
        ]
        severities = (f"severity {c.severity}" for c in next(iter(self.shifts.values())).severities)
        return [
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
        calibration_error=calibration_error(right, confidence),
        confidence=float(confidence.mean(dtype=np.float64)),
        unsure=proportion(int((confidence < UNSURE).sum()), n),
    )
