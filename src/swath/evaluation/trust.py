"""May a single answer be believed: calibration, prediction sets and selective accuracy, gathered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.evaluation.calibration import Calibration, measure_calibration
from swath.evaluation.conformal import Conformal, check_sets
from swath.evaluation.report import Cell, Image, Table
from swath.evaluation.selective import Selective, measure_selective
from swath.evaluation.wording import percent
from swath.model import Record
from swath.model.decisions import leading
from swath.model.record import Estimate


class Trust(Settings):
    """What a single answer is worth, measured on labelled patches.

    Attributes
    ----------
    calibration : Calibration
        Whether probabilities mean what they say.
    conformal : dict of str to Conformal
        By wanted coverage, the sets that the model file's quantiles give; empty where it has none.
    selective : Selective
        What leaving out unsure answers gains.
    """

    calibration: Calibration
    conformal: dict[str, Conformal]
    selective: Selective

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of text for a terminal."""
        rows: list[tuple[str, ...]] = [("trust in a single answer", "", "")]
        rows += [(name, *_number(value)) for name, value in self._errors()]
        for level, found in self.conformal.items():
            size = f"{found.size.value:.3f} classes a set, {100 * found.empty:.1f} % empty"
            rows.append((f"{_percent(level)} sets hold the truth", *percent(found.coverage)))
            rows.append(("  their size", size, f"{found.size.low:.3f}\u2013{found.size.high:.3f}"))
        rows += [
            (f"accuracy of the surest {_percent(share)}", *percent(value))
            for share, value in self.selective.accuracy.items()
        ]
        return rows

    def tables(self) -> tuple[Table, ...]:
        """Tables for a report."""
        errors: list[tuple[Cell, ...]] = [(name, *_number(value)) for name, value in self._errors()]
        kept: list[tuple[Cell, ...]] = [
            (_percent(share), value) for share, value in self.selective.accuracy.items()
        ]
        sets: list[tuple[Cell, ...]] = [
            (
                _percent(level),
                found.coverage,
                f"{found.size.value:.3f} ({found.size.low:.3f} to {found.size.high:.3f})",
                f"{100 * found.single:.1f} %",
                f"{100 * found.empty:.1f} %",
            )
            for level, found in self.conformal.items()
        ]
        columns = ("wanted", "sets that hold the truth", "classes a set", "one class", "empty")
        return (
            Table(
                ("what", "value", "95 % interval"), errors, "Probabilities against outcomes; small is good"
            ),
            *(
                [Table(columns, sets, "Prediction sets, their quantiles from validation patches")]
                if sets
                else []
            ),
            Table(("surest answers kept", "accuracy"), kept, "Accuracy when the unsure answers are left out"),
        )

    def _errors(self) -> list[tuple[str, Estimate]]:
        found = self.calibration
        return [
            ("calibration error (ECE)", found.ece),
            ("negative log-likelihood", found.nll),
            ("Brier score", found.brier),
            ("risk-coverage area (AURC)", self.selective.aurc),
        ]


def measure_trust(record: Record, truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> Trust:
    """Measure a model that gives one label an image.

    Parameters
    ----------
    record : Record
        Task, thresholds and conformal quantiles.
    truth : numpy.ndarray
        ``[N]`` int64 class numbers.
    probabilities : numpy.ndarray
        ``[N, K]``.
    """
    said = leading(record, probabilities)
    confidence = probabilities[np.arange(len(said)), said]
    return Trust(
        calibration=measure_calibration(truth, probabilities, binary=record.task == "binary"),
        conformal=check_sets(probabilities, truth, record.conformal),
        selective=measure_selective(said == truth, confidence),
    )


def trust_images(folder: Path) -> tuple[Image, ...]:
    """Pictures for a report, from a folder of :func:`evaluate`."""
    return (
        Image(
            folder / "reliability.png",
            "Reliability diagram and risk-coverage curve",
            "Left: how often answers came true against the probability they were given, with 95 % intervals; on the "
            "dashed line probabilities mean what they say. Right: share of wrong answers among the surest ones.",
        ),
    )


def _number(value: Estimate) -> tuple[str, str]:
    return f"{value.value:.4f}", f"{value.low:.4f}\u2013{value.high:.4f}"


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"
