"""Give a finished model new decision thresholds, or new calibration statistics, in a new model file.

Thresholds are chosen on validation patches; conformal quantiles and out-of-distribution statistics are fitted on
training and validation patches. The test split is never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from swath.data import PatchIndex, label_matrix
from swath.errors import DataError, SettingError
from swath.evaluation.calibration import conformal_quantiles
from swath.evaluation.predictions import SplitPredictions, model_outputs, model_pixels, predict_split
from swath.evaluation.ranking import best_threshold
from swath.files import check_output
from swath.imagery.renderings import every_kind, some_rerendered
from swath.inference import Classifier
from swath.inference.ood import FALSE_ALARMS, NEEDED, TRAIN_PATCHES, PatchOutputs, fit_out_of_distribution
from swath.model import Record, check_not_model, read_model, write_model
from swath.model.seen import with_seen
from swath.progress import Progress, silent


@dataclass(frozen=True)
class ThresholdUpdate:
    """The thresholds that were chosen.

    Attributes
    ----------
    before, after : dict of str to float
        Threshold of each class that has one.
    kept : tuple of str
        Classes without a patch in the split, whose thresholds stay.
    path : Path
        The new model file.
    """

    before: dict[str, float]
    after: dict[str, float]
    kept: tuple[str, ...]
    path: Path


def choose_thresholds(
    classifier: Classifier, index: PatchIndex, *, split: str = "val", progress: Progress = silent
) -> dict[str, float]:
    """The thresholds at which F1 of each class is largest on one split; see :func:`best_threshold`.

    Parameters
    ----------
    classifier : Classifier
        A binary or multi-label model.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``"val"``, or ``"train"``, on which thresholds come out too low; never ``"test"``.
    progress : Progress
        Called for every batch.

    Returns
    -------
    dict of str to float
        Of the positive class (binary) or of every class with a patch in the split (multi-label).

    Raises
    ------
    SettingError
        If the split is ``"test"``, or the model decides without a threshold.
    DataError
        As :func:`swath.evaluation.evaluate`, or if the split has no patch to choose by.
    """
    record = classifier.record
    if split == "test":
        raise SettingError(
            "a threshold is not chosen on test patches: their numbers would no longer be a test",
            fix="choose it on validation patches: swath model threshold MODEL INDEX --split val --out NEW.onnx",
        )
    if record.task == "single-label":
        raise SettingError(
            f"model '{record.name}' is single-label: its most probable class wins, there is no threshold",
            fix="make a binary index with: swath data binary, and train on it",
        )
    found = predict_split(classifier, index, split=split, progress=progress)
    names = record.class_names
    truth = label_matrix(found.part.label_sets, names) > 0
    looked_for = range(len(names) - len(record.cuts), len(names))
    chosen = {names[k]: best_threshold(truth[:, k], found.probabilities[:, k]) for k in looked_for if truth[:, k].any()}
    if not chosen:
        sought = " or ".join(names[k] for k in looked_for)
        raise DataError(
            f"the split '{split}' of '{index.name}' has no patch of {sought} to choose a threshold by",
            fix="use an index whose split has some",
        )
    return chosen


def rethreshold(
    classifier: Classifier,
    index: PatchIndex,
    out: Path,
    *,
    split: str = "val",
    overwrite: bool = False,
    progress: Progress = silent,
) -> ThresholdUpdate:
    """Choose thresholds as :func:`choose_thresholds` and write the model with them as a new file.

    Raises
    ------
    SettingError, DataError
        As :func:`choose_thresholds`; or if `out` is the model itself.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    check_output(out, overwrite=overwrite)
    check_not_model(out, classifier.path)
    chosen = choose_thresholds(classifier, index, split=split, progress=progress)
    model = read_model(classifier.path)
    record = _chosen_by(with_thresholds(model.record, chosen), model_pixels(classifier, index.where(split)))
    write_model(out, model.graph, record, overwrite=overwrite)
    after = _named(record)
    return ThresholdUpdate(_named(model.record), after, tuple(name for name in after if name not in chosen), out)


def with_thresholds(record: Record, thresholds: Mapping[str, float]) -> Record:
    """The same record with other thresholds; those of classes not named stay.

    Its metrics at thresholds were measured with the old ones and are dropped; those of the ranking stay.

    Raises
    ------
    SettingError
        If a class is unknown or a threshold is not between 0 and 1.
    """
    ranking = {"average_precision", "auroc", "mean_average_precision"}
    values = record.model_dump() | {
        "thresholds": record.thresholds | dict(thresholds),
        "metrics": {name: value for name, value in record.metrics.items() if name in ranking},
    }
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"thresholds do not fit: {error.errors()[0]['msg']}") from error


def _named(record: Record) -> dict[str, float]:
    names = record.class_names[-len(record.cuts) :]
    return dict(zip(names, record.cuts, strict=True))


def with_calibration(
    classifier: Classifier,
    index: PatchIndex,
    *,
    false_alarms: float = FALSE_ALARMS,
    rendering: float = 0.0,
    progress: Progress = silent,
) -> Record:
    """The model's record with quantiles and statistics fitted again; the test split is never opened.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    index : PatchIndex
        With the training and validation patches of the model, or others of the same kind.
    false_alarms : float
        Share of patches like the training data that may be flagged.
    rendering : float
        Share of the training patches that are drawn as other products show the ground
        (:mod:`swath.imagery.renderings`); the threshold then holds in every kind of rendering.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        As :func:`swath.evaluation.evaluate`, or if the model has no features or logits, or validation patches are
        too few to choose a threshold.
    SettingError
        If `false_alarms` is not between 0 and 1.
    """
    record = classifier.record
    if not 0 < false_alarms < 1:
        raise SettingError(f"a share of false alarms of {false_alarms}", fix="give a number between 0 and 1")
    missing = [name for name in NEEDED if name not in classifier.outputs]
    if missing:
        raise DataError(
            f"model '{record.name}' has no output '{missing[0]}', which the out-of-distribution score needs"
        )
    n = index.split_counts.get("train", 0)
    few = np.linspace(0, n - 1, min(n, TRAIN_PATCHES)).round().astype(np.int64)
    train, val = (
        predict_split(classifier, index, split=split, rows=rows, outputs=NEEDED, stage=split, progress=progress)
        for split, rows in (("train", few), ("val", None))
    )
    several = record.task == "multi-label"
    groups = np.zeros(len(train), np.int64) if several else train.truth
    learned, others = _outputs(train), {}
    if rendering:
        learned = _outputs_of(classifier, some_rerendered(train.pixels, rendering), progress)
        others = {kind: _outputs_of(classifier, pixels, progress) for kind, pixels in every_kind(val.pixels).items()}
    found = fit_out_of_distribution(
        learned,
        groups,
        _outputs(val),
        others=others,
        task=record.task,
        temperature=record.temperature,
        size=record.input.size,
        false_alarms=false_alarms,
    )
    if found is None:
        raise DataError(
            f"{len(val)} validation patches are too few for {100 * false_alarms:g} % false alarms",
            fix=f"give {round(1 / false_alarms)} or more, or a larger --false-alarms",
        )
    quantiles = {} if several else conformal_quantiles(val.probabilities, val.truth)
    fitted = record.model_copy(update={"conformal": quantiles, "out_of_distribution": found})
    return _chosen_by(fitted, train.pixels, val.pixels)


def _chosen_by(record: Record, *patches: npt.NDArray[Any]) -> Record:
    """The record with these patches among those that chose the model, if it says what it has seen at all."""
    seen = record.seen
    for pixels in patches if seen else ():
        seen = with_seen(seen, bands=record.input.bands, val=pixels, size=record.input.size, salt=seen[0].salt)
    return record.model_copy(update={"seen": seen})


def write_calibration(
    classifier: Classifier,
    index: PatchIndex,
    out: Path,
    *,
    false_alarms: float = FALSE_ALARMS,
    rendering: float = 0.0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Record:
    """Write the model with the record of :func:`with_calibration` as a new file; returns the record.

    Raises
    ------
    SettingError, DataError
        As :func:`with_calibration`; or if `out` is the model itself.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    check_output(out, overwrite=overwrite)
    check_not_model(out, classifier.path)
    record = with_calibration(classifier, index, false_alarms=false_alarms, rendering=rendering, progress=progress)
    write_model(out, read_model(classifier.path).graph, record, overwrite=overwrite)
    return record


def _outputs(found: SplitPredictions) -> PatchOutputs:
    return PatchOutputs(found.pixels, *(found.outputs[name] for name in NEEDED))


def _outputs_of(classifier: Classifier, pixels: npt.NDArray[Any], progress: Progress) -> PatchOutputs:
    found = model_outputs(classifier, pixels, wanted=NEEDED, stage="renderings", progress=progress)
    return PatchOutputs(pixels, *(found[name] for name in NEEDED))
