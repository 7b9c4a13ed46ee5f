"""What a verdict is made from."""

from __future__ import annotations

from dataclasses import dataclass

from swath.evaluation.errors import ErrorAnalysis, Pair
from swath.evaluation.faithfulness_result import MapCheck
from swath.evaluation.results import Evaluation
from swath.evaluation.run_report.harmonised import Harmonised
from swath.evaluation.stress import StressResult


@dataclass(frozen=True)
class Confused:
    """Which classes are taken for which on a split."""

    split: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Findings:
    """What was measured; None where it was not.

    Attributes
    ----------
    score : Evaluation
        On the split that the report is about.
    confused : Confused or None
        Classes taken for each other.
    errors : ErrorAnalysis or None
        Of a split that may be acted on.
    stress : StressResult or None
        The suite of shifts.
    maps : MapCheck or None
        Of the maps of evidence.
    harmonised : Harmonised or None
        What harmonising did to shifted patches.
    optimistic : str
        Why the split flatters; empty where it is not known to.
    """

    score: Evaluation
    confused: Confused | None = None
    errors: ErrorAnalysis | None = None
    stress: StressResult | None = None
    maps: MapCheck | None = None
    harmonised: Harmonised | None = None
    optimistic: str = ""
