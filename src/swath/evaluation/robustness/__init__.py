"""How robust a model is when images come from another sensor, atmosphere, season or archive.

:func:`robustness` measures a model under a fixed, seeded suite of shifts at five severities: accuracy with intervals,
calibration and confidence, and one mean score; :func:`measure_robustness` only measures, :func:`write_robustness`
only writes. :func:`robustness_section` is the part of a report that shows it. The shifts themselves are pure
functions of patches.
"""

from __future__ import annotations

from swath.evaluation.robustness.measure import (
    Condition,
    RobustnessResult,
    ShiftResult,
    measure_robustness,
    robustness,
    robustness_section,
    write_robustness,
)
from swath.evaluation.robustness.shifts import LEVELS, SUITE, Shift, find_shift

__all__ = [
    "LEVELS",
    "SUITE",
    "Condition",
    "RobustnessResult",
    "Shift",
    "ShiftResult",
    "find_shift",
    "measure_robustness",
    "robustness",
    "robustness_section",
    "write_robustness",
]
