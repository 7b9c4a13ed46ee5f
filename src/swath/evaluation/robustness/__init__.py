"""How a model holds when pictures come from another sensor, atmosphere, season or archive.

:func:`robustness` puts a model through a fixed, seeded suite of shifts at five strengths: accuracy with intervals,
calibration and confidence, and one mean score. :func:`robustness_section` is the part of a report that shows it.
The shifts themselves are pure functions of patches.
"""

from __future__ import annotations

from swath.evaluation.robustness.page import robustness_section
from swath.evaluation.robustness.results import Condition, RobustnessResult, ShiftResult
from swath.evaluation.robustness.run import robustness
from swath.evaluation.robustness.shifts import LEVELS, SUITE, Shift, find_shift

__all__ = [
    "LEVELS",
    "SUITE",
    "Condition",
    "RobustnessResult",
    "Shift",
    "ShiftResult",
    "find_shift",
    "robustness",
    "robustness_section",
]
