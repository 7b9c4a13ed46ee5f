"""Numbers that can be believed, and the page that shows them.

:func:`evaluate` measures a model on one split of an index: every number with a 95 % interval and the
count it rests on, beside two simple baselines on the same patches; :func:`rethreshold` chooses decision
thresholds again on validation patches, never on test.
"""

from __future__ import annotations

from swath.evaluation.evaluate import evaluate
from swath.evaluation.metrics import (
    BinaryMetrics,
    ClassMetrics,
    LabelMetrics,
    Metrics,
    MultiLabelMetrics,
    confusion_matrix,
    measure,
    measure_binary,
    measure_multilabel,
)
from swath.evaluation.ranking import (
    Curve,
    auroc,
    average_precision,
    best_threshold,
    precision_recall_curve,
    roc_curve,
)
from swath.evaluation.results import (
    BaselineResult,
    BinaryEvaluation,
    Difference,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
)
from swath.evaluation.sections import (
    data_section,
    explanation_section,
    map_section,
    provenance_section,
    result_section,
    training_section,
)
from swath.evaluation.thresholds import ThresholdUpdate, choose_thresholds, rethreshold, with_thresholds

__all__ = [
    "BaselineResult",
    "BinaryEvaluation",
    "BinaryMetrics",
    "ClassMetrics",
    "Curve",
    "Difference",
    "Evaluation",
    "LabelMetrics",
    "Metrics",
    "MultiLabelEvaluation",
    "MultiLabelMetrics",
    "SingleLabelEvaluation",
    "ThresholdUpdate",
    "auroc",
    "average_precision",
    "best_threshold",
    "choose_thresholds",
    "confusion_matrix",
    "data_section",
    "evaluate",
    "explanation_section",
    "map_section",
    "measure",
    "measure_binary",
    "measure_multilabel",
    "precision_recall_curve",
    "provenance_section",
    "result_section",
    "rethreshold",
    "roc_curve",
    "training_section",
    "with_thresholds",
]
