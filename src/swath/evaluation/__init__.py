"""Numbers that can be believed, and the page that shows them.

:func:`evaluate` measures a model on one split of an index: every number with a 95 % interval and the
count it rests on, beside two simple baselines on the same patches. :func:`write_report` gathers results,
pictures and links in one HTML page that opens anywhere.
"""

from __future__ import annotations

from swath.evaluation.evaluate import evaluate
from swath.evaluation.metrics import ClassMetrics, Metrics, confusion_matrix, measure
from swath.evaluation.report import Image, Link, Number, Section, Swatch, Table, write_report
from swath.evaluation.results import BaselineResult, Difference, Evaluation
from swath.evaluation.sections import (
    data_section,
    explanation_section,
    map_section,
    provenance_section,
    result_section,
    training_section,
)

__all__ = [
    "BaselineResult",
    "ClassMetrics",
    "Difference",
    "Evaluation",
    "Image",
    "Link",
    "Metrics",
    "Number",
    "Section",
    "Swatch",
    "Table",
    "confusion_matrix",
    "data_section",
    "evaluate",
    "explanation_section",
    "map_section",
    "measure",
    "provenance_section",
    "result_section",
    "training_section",
    "write_report",
]
