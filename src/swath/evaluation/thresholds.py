"""Choose a model's decision thresholds on validation patches, and write them into a new model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.evaluate import answered_split
from swath.evaluation.multilabel import marked
from swath.evaluation.ranking import best_threshold
from swath.files import check_output
from swath.inference import Classifier
from swath.model import Record, check_not_model, read_model, write_model
from swath.progress import Progress, silent


@dataclass(frozen=True)
class Rethresholded:
    """What was chosen.

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
        Labelled patches with splits.
    split : str
        ``"val"``, or ``"train"``, on which thresholds come out too bold; never ``"test"``.
    progress : Progress
        Told of every batch.

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
    refuse_test(split)
    if record.task == "single-label":
        raise SettingError(
            f"model '{record.name}' is single-label: its most probable class wins, there is no threshold",
            fix="make a binary index with: swath data binary, and train on it",
        )
    answered = answered_split(classifier, index, split=split, progress=progress)
    names = record.class_names
    truth = marked(answered.part.label_sets, names)
    looked_for = range(1, 2) if record.task == "binary" else range(len(names))
    chosen = {
        names[k]: best_threshold(truth[:, k], answered.probabilities[:, k])
        for k in looked_for
        if truth[:, k].any()
    }
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
) -> Rethresholded:
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
    record = with_thresholds(model.record, chosen)
    write_model(out, model.graph, record, overwrite=overwrite)
    after = _named(record)
    return Rethresholded(
        _named(model.record), after, tuple(name for name in after if name not in chosen), out
    )


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


def refuse_test(split: str) -> None:
    """A threshold chosen on the test split would make its numbers worthless.

    Raises
    ------
    SettingError
        If `split` is ``"test"``.
    """
    if split == "test":
        raise SettingError(
            "a threshold is not chosen on test patches: their numbers would no longer be a test",
            fix="choose it on validation patches: swath model threshold MODEL INDEX --split val --out NEW.onnx",
        )


def _named(record: Record) -> dict[str, float]:
    names = record.class_names[-len(record.cuts) :]
    return dict(zip(names, record.cuts, strict=True))
