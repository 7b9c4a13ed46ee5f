"""Measure a model on one split of an index and write down what was found."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.evaluation.baselines import baseline_predictions
from swath.evaluation.metrics import confusion_matrix, measure, paired_differences
from swath.evaluation.plots import class_picture, confusion_picture
from swath.evaluation.results import BaselineResult, Difference, Evaluation, warnings_for
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.progress import Progress, silent

OPENINGS = "test_openings.jsonl"
_BATCH = 256


def evaluate(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str = "test",
    out: Path,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Measure `classifier` on one split of `index`, beside the baselines of its record.

    Writes into the folder `out`, all or nothing: ``metrics.json`` (see :class:`Evaluation`),
    ``confusion.csv`` and ``.png``, ``per_class.png``, and ``predictions.csv`` (path, label, predicted,
    confidence). Patches that are not all squares of one size are resized to the
    model's own.

    A test split that is looked at again and again stops being a test. So each opening of ``test`` appends
    one line to ``test_openings.jsonl`` in the folder that holds `out` (the run's folder), before any
    answer is computed: date, model, fingerprint of the index, number of patches.

    Parameters
    ----------
    classifier : Classifier
        A loaded single-label model.
    index : PatchIndex
        Labelled patches with splits.
    split : str
        ``"test"``, ``"val"`` or ``"train"``.
    out : Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Told of every batch.

    Raises
    ------
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    SettingError
        If the model is not single-label.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    record = classifier.record
    names = record.class_names
    part = checked_split(index, split=split, classes=names, task=record.task)
    truth = np.array([names.index(label) for label in part.labels], np.int64)
    n = len(truth)
    with atomic_folder(out, overwrite=overwrite, keep=(index.root, classifier.path)) as folder:
        if split == "test":
            note_opening(out.parent / OPENINGS, model=record.name, fingerprint=index.fingerprint, n=n)
        size = None if _one_square_size(part) else record.input.size
        pixels = cached_pixels(part, bands=record.input.bands, size=size, progress=progress)
        probabilities = _run(classifier, pixels, progress=progress)
        predicted = probabilities.argmax(axis=1).astype(np.int64)
        confusion = confusion_matrix(truth, predicted, classes=len(names))
        metrics = measure(confusion, names)
        baselines: dict[str, BaselineResult] = {}
        if record.baselines is not None:
            answers = baseline_predictions(record.baselines, pixels, bands=record.input.bands, classes=names)
            baselines = {name: _compare(truth, predicted, answer, names) for name, answer in answers.items()}
        absent = tuple(name for k, name in enumerate(names) if not confusion[k].any())
        evaluation = Evaluation(
            **dict(metrics),
            model=record.name,
            split=split,
            n=n,
            fingerprint=index.fingerprint,
            trained_on=record.data.fingerprint,
            protocol=record.data.split_protocol,
            engine=classifier.engine,
            absent_classes=absent,
            baselines=baselines,
            warnings=warnings_for(
                n=n,
                split=split,
                same_index=index.fingerprint == record.data.fingerprint,
                absent=absent,
                baselines=baselines,
            ),
        )
        (folder / "metrics.json").write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _write_confusion(folder / "confusion.csv", confusion, names)
        _write_predictions(folder / "predictions.csv", part, probabilities, names)
        confusion_picture(folder / "confusion.png", confusion, names)
        class_picture(folder / "per_class.png", metrics)
    return evaluation


def checked_split(index: PatchIndex, *, split: str, classes: tuple[str, ...], task: str) -> PatchIndex:
    """Give the split's part of `index`, or say why it cannot be evaluated.

    Raises
    ------
    DataError, SettingError
        As :func:`evaluate`.
    """
    if task == "multi-label":
        raise SettingError(
            "the model is multi-label, and this evaluation counts one class a patch",
            fix="use a single-label model",
        )
    there = [name for name in index.split_counts if name is not None]
    if not there:
        raise DataError("the index has no splits", fix="make them with: swath data split")
    if split not in there:
        raise DataError(
            f"the index has no patch in split '{split}'", fix=f"its splits are: {', '.join(there)}"
        )
    part = index.where(split)
    unknown = sorted(set(part.labels) - set(classes))
    if unknown:
        raise DataError(
            f"split '{split}' has classes the model does not know: {', '.join(unknown)}",
            fix=f"rename or drop them; the model's classes: {', '.join(classes)}",
        )
    return part


def note_opening(path: Path, *, model: str, fingerprint: str, n: int) -> None:
    """Append one line to the record of test openings."""
    line = {
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "fingerprint": fingerprint,
        "n": n,
    }
    # One short append reaches the file whole or not at all; earlier lines are never rewritten.
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _one_square_size(part: PatchIndex) -> bool:
    """Whether all patches are squares of one size."""
    width, height = (part.table.column(name).unique().to_pylist() for name in ("width", "height"))
    return len(width) == 1 and width == height


def _run(classifier: Classifier, pixels: npt.NDArray[Any], *, progress: Progress) -> npt.NDArray[np.float32]:
    parts = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(classifier.run(pixels[start : start + _BATCH], batch=_BATCH)["probabilities"])
        progress("evaluate", min(start + _BATCH, len(pixels)), len(pixels))
    return np.concatenate(parts)


def _compare(
    truth: npt.NDArray[np.int64],
    model: npt.NDArray[np.int64],
    answer: npt.NDArray[np.int64],
    names: tuple[str, ...],
) -> BaselineResult:
    accuracy, macro_f1 = paired_differences(truth, model, answer, classes=len(names))
    metrics = measure(confusion_matrix(truth, answer, classes=len(names)), names)
    return BaselineResult(**dict(metrics), difference=Difference(accuracy=accuracy, macro_f1=macro_f1))


def _write_confusion(path: Path, confusion: npt.NDArray[np.int64], names: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["true \\ predicted", *names])
        writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))


def _write_predictions(
    path: Path, part: PatchIndex, probabilities: npt.NDArray[np.float32], names: tuple[str, ...]
) -> None:
    best = probabilities.argmax(axis=1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", "confidence"])
        for name, label, k, row in zip(part.paths, part.labels, best, probabilities, strict=True):
            writer.writerow([name, label, names[k], f"{row[k]:.6f}"])
