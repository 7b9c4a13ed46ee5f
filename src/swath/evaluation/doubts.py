"""Give a finished model file what it doubts answers by: conformal quantiles, and what strange patches look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.evaluation.conformal import conformal_quantiles
from swath.evaluation.evaluate import checked_split
from swath.evaluation.out_of_distribution import FALSE_ALARMS, TRAIN_PATCHES, Seen, fit_out_of_distribution
from swath.evaluation.outputs import model_outputs
from swath.files import check_output
from swath.inference import Classifier
from swath.inference.unlike import NEEDED
from swath.model import Record, check_not_model, read_model, write_model
from swath.progress import Progress, silent


def with_doubts(
    classifier: Classifier,
    index: PatchIndex,
    *,
    false_alarms: float = FALSE_ALARMS,
    progress: Progress = silent,
) -> Record:
    """The model's record with quantiles and statistics fitted anew; the test split is never opened.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    index : PatchIndex
        With the training and validation patches of the model, or others of the same kind.
    false_alarms : float
        Share of patches like the training data that may be called unlike.
    progress : Progress
        Told of every batch.

    Raises
    ------
    DataError
        As :func:`swath.evaluation.evaluate`, or if the model has no features to judge by, or validation patches are
        too few to choose a threshold.
    SettingError
        If `false_alarms` is not between 0 and 1.
    """
    record = classifier.record
    if not 0 < false_alarms < 1:
        raise SettingError(f"a share of false alarms of {false_alarms}", fix="give a number between 0 and 1")
    missing = [name for name in NEEDED if name not in classifier.outputs]
    if missing:
        raise DataError(f"model '{record.name}' has no output '{missing[0]}' to judge by")
    parts = {
        split: checked_split(index, split=split, classes=record.class_names, task=record.task)
        for split in ("train", "val")
    }
    few = np.linspace(0, len(parts["train"]) - 1, min(len(parts["train"]), TRAIN_PATCHES)).round()
    places = {"train": few.astype(np.int64), "val": np.arange(len(parts["val"]))}
    seen, labels = {}, {}
    for split, part in parts.items():
        pixels = cached_pixels(part, bands=record.input.bands, size=record.input.size, progress=progress)
        chosen = pixels[places[split]]
        outputs = model_outputs(classifier, chosen, wanted=NEEDED, stage=split, progress=progress)
        seen[split] = Seen(chosen, *(outputs[name] for name in NEEDED))
        labels[split] = _numbers(part, record)[places[split]]
    probabilities = model_outputs(classifier, seen["val"].pixels, progress=progress)["probabilities"]
    found = fit_out_of_distribution(
        seen["train"],
        labels["train"],
        seen["val"],
        task=record.task,
        temperature=record.temperature,
        size=record.input.size,
        false_alarms=false_alarms,
    )
    if found is None:
        raise DataError(
            f"{len(parts['val'])} validation patches are too few for {100 * false_alarms:g} % false alarms",
            fix=f"give {round(1 / false_alarms)} or more, or a larger --false-alarms",
        )
    several = record.task == "multi-label"
    quantiles = {} if several else conformal_quantiles(probabilities, labels["val"])
    return record.model_copy(update={"conformal": quantiles, "out_of_distribution": found})


def write_doubts(
    classifier: Classifier,
    index: PatchIndex,
    out: Path,
    *,
    false_alarms: float = FALSE_ALARMS,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Record:
    """Write the model with the record of :func:`with_doubts` as a new file; returns the record.

    Raises
    ------
    SettingError, DataError
        As :func:`with_doubts`; or if `out` is the model itself.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    check_output(out, overwrite=overwrite)
    check_not_model(out, classifier.path)
    record = with_doubts(classifier, index, false_alarms=false_alarms, progress=progress)
    write_model(out, read_model(classifier.path).graph, record, overwrite=overwrite)
    return record


def _numbers(part: PatchIndex, record: Record) -> npt.NDArray[np.int64]:
    """Class numbers ``[N]``; of a multi-label index zeros."""
    if record.task == "multi-label":
        return np.zeros(len(part), np.int64)
    places = {name: place for place, name in enumerate(record.class_names)}
    return np.array([places[label] for label in part.labels], np.int64)
