"""Measure a model on one split of an index, and write what was found.

:func:`measure_split` measures and returns an :class:`Evaluation` without touching a file;
:func:`write_evaluation` writes one into a folder; :func:`evaluate` does both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.data.spatial import split_warning
from swath.errors import DataError
from swath.evaluation.baselines import baseline_predictions, baseline_scores
from swath.evaluation.calibration import measure_reliability
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import (
    confusion_matrix,
    measure,
    measure_binary,
    measure_multilabel,
    paired_average_precision,
    paired_differences,
)
from swath.evaluation.predictions import (
    Index,
    Model,
    SplitPredictions,
    learned_from,
    open_inputs,
    predict_split,
    prepare_output,
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
from swath.files import atomic_folder, write_csv
from swath.inference import Classifier
from swath.inference.predictions import JOINED
from swath.progress import Progress, silent


def evaluate(
    model: Model,
    index: Index,
    *,
    split: str = "val",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a model on one split of an index, next to the baselines of its record.

    With `out`, an access to the test split is noted, and the files of :func:`write_evaluation` are written: all or
    nothing. A test split that is looked at again and again stops being a test. So each access appends
    one line to ``test_accesses.jsonl`` in the folder that holds `out` (the run's folder), before any
    prediction is computed: date, model, fingerprint of the index, number of patches.

    Thresholds are those of the model file; :func:`swath.evaluation.rethreshold` chooses others.

    Parameters
    ----------
    model : Classifier, str or pathlib.Path
        A loaded model of any task, a model file, or the name of a shipped model.
    index : PatchIndex, str or pathlib.Path
        Labeled patches with splits, or the file of such an index.
    split : str
        ``"val"`` by default, ``"test"`` or ``"train"``. Do not tune on test.
    out : str or pathlib.Path, optional
        The folder to make. Nothing is written without it.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every batch.

    Returns
    -------
    Evaluation
        ``print`` it for a table, :meth:`~swath.evaluation.Evaluation.to_dict` for plain values,
        ``.predictions`` for truth and prediction of each patch.

    Raises
    ------
    DataError
        If the split is empty, patches have one label where the model gives several or the other way round,
        or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.

    Examples
    --------
    >>> from swath.data import build_index
    >>> from swath.evaluation import evaluate
    >>> found = evaluate("eurosat", build_index("eurosat-mini"))
    >>> found.n
    200
    >>> found.accuracy.low > 0.9
    True
    """
    classifier, index = open_inputs(model, index)
    if out is not None:
        prepare_output(classifier, index, split=split, out=Path(out), overwrite=overwrite)
    evaluation = measure_split(classifier, index, split=split, progress=progress)
    if out is not None:
        write_evaluation(evaluation, out, overwrite=overwrite)
    return evaluation


def write_evaluation(evaluation: Evaluation, out: str | Path, *, overwrite: bool = False) -> None:
    """Write an evaluation into a folder, all or nothing.

    ``metrics.json`` (see :class:`Evaluation`) and ``predictions.csv`` (path, label, predicted, confidence, and
    probabilities where a threshold decides); ``confusion.csv`` and ``.svg`` (single-label, binary) or
    ``labels.csv`` (multi-label); ``per_class.svg`` (single-label, multi-label); ``curves.svg``, precision-recall
    and ROC (binary, multi-label); ``reliability.svg`` (single-label, binary).

    Parameters
    ----------
    evaluation : Evaluation
        As measured; one that was read from JSON holds no predictions to write.
    out : str or pathlib.Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.

    Raises
    ------
    DataError
        If the evaluation holds no predictions.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    found = evaluation.predictions
    if found is None:
        raise DataError(
            "the evaluation holds numbers only, no predictions", fix="measure again: swath.evaluate(MODEL, INDEX)"
        )
    with atomic_folder(Path(out), overwrite=overwrite, keep=found.inputs) as folder:
        (folder / "metrics.json").write_text(evaluation.to_json(), encoding="utf-8")
        for name, drawn in evaluation.charts.items():
            (folder / name).write_bytes(drawn.to_svg())
        if found.record.task == "multi-label":
            counts = (m.sum(axis=0) for m in (found.truth, found.predicted, found.truth & found.predicted))
            rows = zip(found.classes, *counts, found.record.cuts, strict=True)
            write_csv(folder / "labels.csv", ("label", "patches", "predicted", "right", "threshold"), list(rows))
        else:
            write_csv(
                folder / "confusion.csv",
                ("true \\ predicted", *found.classes),
                ([name, *row] for name, row in zip(found.classes, found.confusion.tolist(), strict=True)),
            )
        _write_predictions(folder / "predictions.csv", found)


def _write_predictions(path: Path, found: SplitPredictions) -> None:
    """Write one row per patch; where thresholds decide, with the probabilities they decide on."""
    names, cuts = found.classes, found.record.cuts
    shown = range(len(names) - len(cuts), len(names)) if cuts else range(0)
    truth = [JOINED.join(labels) for labels in found.part.label_sets]
    rows = (
        [name, label, said, f"{sure:.6f}", *(f"{p[k]:.6f}" for k in shown)]
        for name, label, said, sure, p in zip(
            found.paths, truth, found.predictions.labels, found.confidence, found.probabilities, strict=True
        )
    )
    write_csv(path, ("path", "label", "predicted", "confidence", *(f"p_{names[k]}" for k in shown)), rows)


def measure_split(
    classifier: Classifier, index: PatchIndex, *, split: str = "val", progress: Progress = silent
) -> Evaluation:
    """Measure a model on one split of an index; nothing is written, and an access to ``test`` is not noted.

    Parameters
    ----------
    classifier, index, split, progress
        As for :func:`swath.evaluation.predictions.predict_split`.

    Raises
    ------
    DataError
        As :func:`evaluate`.
    """
    found = predict_split(classifier, index, split=split, progress=progress)
    origin = split_warning(found.record.data.split_protocol)  # of the model's own data
    if origin and not learned_from(classifier, index):
        origin = ""
    whole = _measured(found, origin)
    remainder = found.seen.remainder
    if remainder is None:
        return whole
    return whole.model_copy(update={"unseen": _measured(found.take(remainder), origin)})


def _measured(found: SplitPredictions, origin: str) -> Evaluation:
    match found.record.task:
        case "single-label":
            return _single_label(found, origin)
        case "binary":
            return _binary(found, origin)
        case "multi-label":
            return _multi_label(found, origin)


def _common(found: SplitPredictions, *, origin: str, there: Any, **weak: Any) -> dict[str, Any]:
    """Fields that all tasks share; `there` says which classes have a patch, `weak` is for :func:`warnings_for`."""
    record, flags = found.record, found.predictions.is_ood
    absent = tuple(name for name, has in zip(found.classes, there, strict=True) if not has)
    return {
        "model": record.name,
        "split": found.split,
        "n": len(found),
        "seen": found.seen.count,
        "is_test": found.seen.count.unseen,
        "fingerprint": found.fingerprint,
        "trained_on": record.data.fingerprint,
        "protocol": record.data.split_protocol,
        "engine": found.engine,
        "ood": None if flags is None else proportion(int(flags.sum()), len(found)),
        "absent_classes": absent,
        "warnings": (*([origin] if origin else []), *warnings_for(n=len(found), absent=absent, **weak)),
        "predictions": found,
    }


def _single_label(found: SplitPredictions, origin: str) -> SingleLabelEvaluation:
    record, names = found.record, found.classes
    baselines = {}
    if record.baselines is not None:
        simple = baseline_predictions(record.baselines, found.pixels, bands=record.input.bands, classes=names)
        baselines = {name: _compare_with_baseline(found, answer) for name, answer in simple.items()}
    leads = {name: b.difference.accuracy for name, b in baselines.items()}
    return SingleLabelEvaluation(
        **dict(measure(found.confusion, names)),
        **_common(found, origin=origin, there=found.confusion.any(axis=1), leads=leads),
        reliability=measure_reliability(record, found.truth, found.probabilities),
        baselines=baselines,
    )


def _binary(found: SplitPredictions, origin: str) -> BinaryEvaluation:
    record, names = found.record, found.classes
    truth, scores = found.truth == 1, found.probabilities[:, 1]
    metrics = measure_binary(truth, scores, threshold=record.cuts[0], names=names)
    baselines = {}
    if record.baselines is not None:
        simple = baseline_scores(record.baselines, found.pixels, bands=record.input.bands, classes=names)
        baselines = {name: _compare_with_binary_baseline(found, s) for name, s in simple.items()}
    leads = {name: b.difference.average_precision for name, b in baselines.items()}
    # The majority rule ranks by chance: a lead over it says all that a comparison with guessing would.
    guesses = {} if leads else {names[1]: (metrics.average_precision, metrics.positives)}
    common = _common(
        found, origin=origin, there=found.confusion.any(axis=1), leads=leads, what="average precision", guesses=guesses
    )
    return BinaryEvaluation(
        **dict(metrics) | common,
        reliability=measure_reliability(record, found.truth, found.probabilities),
        baselines=baselines,
    )


def _multi_label(found: SplitPredictions, origin: str) -> MultiLabelEvaluation:
    metrics = measure_multilabel(found.truth, found.probabilities, thresholds=found.record.cuts, names=found.classes)
    guesses = {name: (c.average_precision, c.recall.n) for name, c in metrics.per_class.items()}
    common = _common(found, origin=origin, there=found.truth.any(axis=0), leads=None, guesses=guesses)
    return MultiLabelEvaluation(**dict(metrics) | common)


def _compare_with_baseline(found: SplitPredictions, answer: npt.NDArray[np.int64]) -> BaselineResult:
    k = len(found.classes)
    accuracy, macro_f1 = paired_differences(found.truth, found.predicted, answer, classes=k)
    metrics = measure(confusion_matrix(found.truth, answer, classes=k), found.classes)
    return BaselineResult(**dict(metrics), difference=Difference(accuracy=accuracy, macro_f1=macro_f1))


def _compare_with_binary_baseline(found: SplitPredictions, baseline: npt.NDArray[np.float64]) -> BinaryBaseline:
    truth = found.truth == 1
    metrics = measure_binary(truth, baseline, threshold=0.5, names=found.classes)
    answer = (baseline >= 0.5).astype(np.int64)
    accuracy, _ = paired_differences(found.truth, found.predicted, answer, classes=2)
    precision = paired_average_precision(truth, found.probabilities[:, 1], baseline)
    return BinaryBaseline(**dict(metrics), difference=BinaryDifference(accuracy=accuracy, average_precision=precision))
