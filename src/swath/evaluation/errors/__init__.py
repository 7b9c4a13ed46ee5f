"""Where a model is wrong, and where the labels are.

:func:`find_errors` analyzes a model's mistakes on one split: confused pairs, weakest classes, slices that
are worse than the rest, and galleries with maps of where the network looked. :func:`label_issues` ranks patches
by how probably their label is wrong, from probabilities that did not learn from it;
:func:`feature_probabilities` makes such probabilities in seconds from a finished model's features, and
:func:`measure_label_issues` and :func:`write_label_issues` make the list that a person reviews;
:func:`inject_label_noise` plants wrong labels to measure how many it finds.
"""

from __future__ import annotations

from swath.evaluation.errors.analyze import find_errors, measure_errors, write_errors
from swath.evaluation.errors.findings import ConfusedPair, ErrorAnalysis
from swath.evaluation.errors.labels import (
    LabelIssueReport,
    estimated_joint,
    feature_probabilities,
    inject_label_noise,
    label_issues,
    measure_label_issues,
    write_label_issues,
)

__all__ = [
    "ConfusedPair",
    "ErrorAnalysis",
    "LabelIssueReport",
    "estimated_joint",
    "feature_probabilities",
    "find_errors",
    "inject_label_noise",
    "label_issues",
    "measure_errors",
    "measure_label_issues",
    "write_errors",
    "write_label_issues",
]
