"""Measure what a model answered, each task in its own way, and write down what belongs to it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, class_numbers, label_matrix
from swath.evaluation.baselines import baseline_predictions, baseline_scores
from swath.evaluation.calibration import Reliability, measure_reliability
from swath.evaluation.metrics import (
    BinaryMetrics,
    confusion_matrix,
    measure,
    measure_binary,
    measure_multilabel,
    paired_average_precision,
    paired_differences,
)
from swath.evaluation.plots import (
    ClassScores,
    class_picture,
    confusion_picture,
    curves_picture,
    reliability_picture,
)
from swath.evaluation.results import (
    BaselineResult,
    BinaryBaseline,
    BinaryDifference,
    BinaryEvaluation,
    Difference,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
    warnings_for,
)
from swath.inference.predictions import JOINED, Predictions, judged
from swath.model import Record


@dataclass(frozen=True)
class SplitPredictions:
    """A split and what a model said of it.

    Attributes
    ----------
    record : Record
        Of the model.
    part : PatchIndex
        The split, N patches.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    probabilities : numpy.ndarray
        float32 ``[N, K]``.
    facts : dict of str to Any
        Fields of :class:`Evaluation` that no answer changes.
    """

    record: Record
    part: PatchIndex
    pixels: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32]
    facts: dict[str, Any]

    @property
    def warning_inputs(self) -> dict[str, Any]:
        """What :func:`warnings_for` is told for every task."""
        facts = self.facts
        same = facts["fingerprint"] == facts["trained_on"]
        return {"n": len(self.part), "split": facts["split"], "same_index": same}


def measured(answered: SplitPredictions, folder: Path) -> Evaluation:
    """Measure and write tables and pictures into `folder`; ``metrics.json`` is left to the caller."""
    match answered.record.task:
        case "single-label":
            return _single_label(answered, folder)
        case "binary":
            return _binary(answered, folder)
        case "multi-label":
            return _multi_label(answered, folder)


def _single_label(answered: SplitPredictions, folder: Path) -> SingleLabelEvaluation:
    record, names = answered.record, answered.record.class_names
    answers = judged(record, answered.probabilities)
    truth, predicted = (class_numbers(labels, names) for labels in (answered.part.labels, answers.labels))
    confusion = confusion_matrix(truth, predicted, classes=len(names))
    metrics = measure(confusion, names)
    baselines: dict[str, BaselineResult] = {}
    if record.baselines is not None:
        simple = baseline_predictions(
            record.baselines, answered.pixels, bands=record.input.bands, classes=names
        )
        baselines = {
            name: _compare_with_baselines(truth, predicted, answer, names) for name, answer in simple.items()
        }
    absent = tuple(name for k, name in enumerate(names) if not confusion[k].any())
    _write_confusion(folder, confusion, names)
    class_picture(folder / "per_class.png", metrics)
    _write_answers(folder, answered, answers)
    leads = {name: b.difference.accuracy for name, b in baselines.items()}
    return SingleLabelEvaluation(
        **dict(metrics),
        **answered.facts,
        reliability=_reliability(answered, truth, answers, folder),
        absent_classes=absent,
        baselines=baselines,
        warnings=warnings_for(**answered.warning_inputs, absent=absent, leads=leads),
    )


def _binary(answered: SplitPredictions, folder: Path) -> BinaryEvaluation:
    record, names = answered.record, answered.record.class_names
    answers = judged(record, answered.probabilities)
    truth, called = (class_numbers(labels, names) == 1 for labels in (answered.part.labels, answers.labels))
    scores = answered.probabilities[:, 1]
    metrics = measure_binary(truth, scores, threshold=record.cuts[0], names=names)
    baselines: dict[str, BinaryBaseline] = {}
    if record.baselines is not None:
        simple = baseline_scores(record.baselines, answered.pixels, bands=record.input.bands, classes=names)
        baselines = {
            name: _compare_binary_with_baselines(truth, called, scores, s, names)
            for name, s in simple.items()
        }
    absent = tuple(name for name, held in zip(names, (~truth, truth), strict=True) if not held.any())
    confusion = confusion_matrix(truth.astype(np.int64), called.astype(np.int64), classes=2)
    _write_confusion(folder, confusion, names)
    ranked = ClassScores(names[1], record.classes[1].color_hint, truth, scores, record.cuts[0])
    curves_picture(folder / "curves.png", [ranked])
    _write_answers(folder, answered, answers)
    leads = {name: b.difference.average_precision for name, b in baselines.items()}
    # The majority rule ranks by chance: a lead over it says all that a comparison with guessing would.
    guesses = {} if leads else {names[1]: (metrics.average_precision, metrics.positives)}
    return BinaryEvaluation(
        **dict(metrics) | answered.facts,
        reliability=_reliability(answered, truth.astype(np.int64), answers, folder),
        absent_classes=absent,
        baselines=baselines,
        warnings=warnings_for(
            **answered.warning_inputs, absent=absent, leads=leads, what="average precision", guesses=guesses
        ),
    )


def _multi_label(answered: SplitPredictions, folder: Path) -> MultiLabelEvaluation:
    record, names = answered.record, answered.record.class_names
    answers = judged(record, answered.probabilities)
    truth, called = (label_matrix(sets, names) > 0 for sets in (answered.part.label_sets, answers.label_sets))
    metrics = measure_multilabel(truth, answered.probabilities, thresholds=record.cuts, names=names)
    absent = tuple(name for k, name in enumerate(names) if not truth[:, k].any())
    counts = [
        (name, int(t.sum()), int(c.sum()), int((t & c).sum()), cut)
        for name, t, c, cut in zip(names, truth.T, called.T, record.cuts, strict=True)
    ]
    _write_rows(folder / "labels.csv", ("label", "patches", "called", "right", "threshold"), counts)
    class_picture(folder / "per_class.png", metrics)
    ranked = [
        ClassScores(c.name, c.color_hint, truth[:, k], answered.probabilities[:, k], record.cuts[k])
        for k, c in enumerate(record.classes)
        if truth[:, k].any()
    ]
    curves_picture(folder / "curves.png", ranked)
    _write_answers(folder, answered, answers)
    guesses = {name: (c.average_precision, c.recall.n) for name, c in metrics.per_class.items()}
    return MultiLabelEvaluation(
        **dict(metrics) | answered.facts,
        absent_classes=absent,
        warnings=warnings_for(**answered.warning_inputs, absent=absent, leads=None, guesses=guesses),
    )


def _reliability(
    answered: SplitPredictions, truth: npt.NDArray[np.int64], answers: Predictions, folder: Path
) -> Reliability:
    reliability = measure_reliability(answered.record, truth, answered.probabilities)
    right = class_numbers(answers.labels, answered.record.class_names) == truth
    reliability_picture(folder / "reliability.png", reliability.calibration, right, answers.confidence)
    return reliability


def _compare_with_baselines(
    truth: npt.NDArray[np.int64],
    model: npt.NDArray[np.int64],
    answer: npt.NDArray[np.int64],
    names: tuple[str, ...],
) -> BaselineResult:
    accuracy, macro_f1 = paired_differences(truth, model, answer, classes=len(names))
    metrics = measure(confusion_matrix(truth, answer, classes=len(names)), names)
    return BaselineResult(**dict(metrics), difference=Difference(accuracy=accuracy, macro_f1=macro_f1))


def _compare_binary_with_baselines(
    truth: npt.NDArray[np.bool_],
    called: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float32],
    baseline: npt.NDArray[np.float64],
    names: tuple[str, ...],
) -> BinaryBaseline:
    metrics: BinaryMetrics = measure_binary(truth, baseline, threshold=0.5, names=names)
    answers = (truth, called, baseline >= 0.5)
    accuracy, _ = paired_differences(*(a.astype(np.int64) for a in answers), classes=2)
    difference = BinaryDifference(
        accuracy=accuracy, average_precision=paired_average_precision(truth, scores, baseline)
    )
    return BinaryBaseline(**dict(metrics), difference=difference)


def _write_confusion(folder: Path, confusion: npt.NDArray[np.int64], names: tuple[str, ...]) -> None:
    rows = ([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
    _write_rows(folder / "confusion.csv", ("true \\ predicted", *names), rows)
    confusion_picture(folder / "confusion.png", confusion, names)


def _write_answers(folder: Path, answered: SplitPredictions, answers: Predictions) -> None:
    """Write one row a patch; where thresholds decide, with the probabilities they decide on."""
    names = answered.record.class_names
    shown = range(len(names) - len(answered.record.cuts), len(names)) if answered.record.cuts else range(0)
    header = ("path", "label", "predicted", "confidence", *(f"p_{names[k]}" for k in shown))
    truth = [JOINED.join(labels) for labels in answered.part.label_sets]
    rows = (
        [name, label, said, f"{sure:.6f}", *(f"{p[k]:.6f}" for k in shown)]
        for name, label, said, sure, p in zip(
            answered.part.paths, truth, answers.labels, answers.confidence, answers.probabilities, strict=True
        )
    )
    _write_rows(folder / "predictions.csv", header, rows)


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
