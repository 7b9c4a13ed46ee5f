"""How a model holds when pictures come from another sensor, atmosphere, season or archive.

:func:`stress` puts a model through a fixed, seeded suite of shifts at five strengths: accuracy with intervals,
calibration and confidence, and one mean score. :func:`stress_section` is the part of a report that shows it.
The shifts themselves are pure functions of patches.
"""

from __future__ import annotations

from swath.evaluation.stress.page import stress_section
from swath.evaluation.stress.results import Condition, ShiftResult, StressResult
from swath.evaluation.stress.run import stress
from swath.evaluation.stress.shifts import LEVELS, SUITE, Shift, find_shift

__all__ = [
    "LEVELS",
    "SUITE",
    "Condition",
    "Shift",
    "ShiftResult",
    "StressResult",
    "find_shift",
    "stress",
    "stress_section",
]
