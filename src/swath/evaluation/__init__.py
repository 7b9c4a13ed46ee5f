"""Numbers with intervals: what a model is worth on labeled patches.

:func:`evaluate` measures a model on one split of an index, next to two simple baselines on the same patches;
:func:`measure_split` only measures, :func:`write_evaluation` only writes; :func:`predict_split` gives the truth and
prediction of each patch that all measurements start from. :func:`compare` tests whether one model is better than
another; :func:`rethreshold` chooses decision thresholds on validation patches, never on test. Error analysis and
label issues are in :mod:`swath.evaluation.errors`, shifts in :mod:`swath.evaluation.robustness`.
"""

from __future__ import annotations

from swath.evaluation.compare import Comparison, compare
from swath.evaluation.evaluate import evaluate, measure_split, write_evaluation
from swath.evaluation.metrics import confusion_matrix, measure, measure_binary, measure_multilabel
from swath.evaluation.predictions import SplitPredictions, predict_split
from swath.evaluation.ranking import auroc, average_precision, best_threshold, precision_recall_curve, roc_curve
from swath.evaluation.results import (
    BaselineResult,
    BinaryEvaluation,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
)
from swath.evaluation.thresholds import ThresholdUpdate, choose_thresholds, rethreshold, with_thresholds

__all__ = [
    "BaselineResult",
    "BinaryEvaluation",
    "Comparison",
    "Evaluation",
    "MultiLabelEvaluation",
    "SingleLabelEvaluation",
    "SplitPredictions",
    "ThresholdUpdate",
    "auroc",
    "average_precision",
    "best_threshold",
    "choose_thresholds",
    "compare",
    "confusion_matrix",
    "evaluate",
    "measure",
    "measure_binary",
    "measure_multilabel",
    "measure_split",
    "precision_recall_curve",
    "predict_split",
    "rethreshold",
    "roc_curve",
    "with_thresholds",
    "write_evaluation",
]
